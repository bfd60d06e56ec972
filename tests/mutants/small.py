"""Small worlds, each of which asks for a promise or two that a whole life does not; not a test.

A world is a scenario of a few pods and a judge of its record: what is wrong, in a sentence, or nothing. The invariants
of `twin/oracles` hold in each; what only this world can tell comes on top.
"""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.twin.worlds import MODEL, SELECTOR, a_scenario, adapters
from twin import oracles
from twin.loop import run
from twin.record import AdapterLine, Counts, EngineLine, EventLine, Line, PodLine, RequestLine
from twin.simulation import Simulation, simulate

QUICK: dict[str, Any] = {"startup": "2s", "load": "700ms", "unload": "50ms"}
ONE = [adapters(1, replicas=1, arrive={"at": "30s"})]


def _run(folder: Path, **sections: Any) -> tuple[list[Line], str]:
    """(the record, the first violation if there is one)."""
    cluster = {"engines": {"default": QUICK}, "artifacts": {"bandwidth": "10Gbit/s"}}
    lines = list(simulate(a_scenario(folder, **{"cluster": cluster} | sections)).lines)
    found = oracles.check(lines).violations
    return lines, f"{found[0].invariant}: {found[0].object} {found[0].message}" if found else ""


def _of(lines: list[Line], adapter: str = "default/a-0") -> list[AdapterLine]:
    return [line for line in lines if isinstance(line, AdapterLine) and line.object == adapter]


def _last(lines: list[Line], adapter: str = "default/a-0") -> AdapterLine | None:
    return next(reversed(_of(lines, adapter)), None)


def _loads(lines: list[Line]) -> list[RequestLine]:
    return [ln for ln in lines if isinstance(ln, RequestLine) and (ln.event, ln.verb) == ("sent", "load")]


def _running_by(lines: list[Line], moment: float, replicas: int = 1) -> str:
    """Whether the adapter runs, with so many replicas, by then and to the end of the run."""
    shown = _of(lines)
    late = [line for line in shown if line.t > moment and len(line.instances) != replicas]
    before = [line for line in shown if line.t <= moment]
    if late or not before or before[-1].phase != "Running" or len(before[-1].instances) != replicas:
        now = late[0] if late else (before[-1] if before else None)
        said = f"{now.phase or 'untouched'} on {now.instances}" if now is not None else "not there"
        return f"at {moment:g} s it is not Running with {replicas} replicas but {said}"
    return ""


def _gone_by(lines: list[Line], soonest: float, latest: float) -> str:
    last = _last(lines)
    if last is None or last.event != "deleted":
        return "its deletion does not come to an end"
    return "" if soonest <= last.t <= latest else f"it is gone at {last.t:g} s, not from {soonest:g} to {latest:g} s"


# -- nothing goes wrong


def _burst(folder: Path) -> str:
    """Thirty adapters at once, eight pods: they spread, no engine gets more than two loads at a time, and the only
    one who writes never meets a conflict."""
    lines, wrong = _run(folder, pods=8, adapters=[adapters(32, replicas=1, arrive={"at": "30s"})], duration="15m")
    ends = [_last(lines, f"default/a-{number}") for number in range(32)]
    on = [pod for line in ends if line is not None for pod in line.instances]
    crowd = max((on.count(pod) for pod in on), default=0)
    if wrong or len(on) != 32:
        return wrong or f"{len(on)} of 32 run"
    if crowd > 5:
        return f"{crowd} of 32 adapters are on one of 8 pods"
    most = _most_at_once(lines)
    return f"{most} requests at a time on one engine" if most > 2 else _conflicts(lines)


def _conflicts(lines: list[Line]) -> str:
    found = sum(line.counts.get("api.conflicts", 0) for line in lines if isinstance(line, Counts))
    return f"{found} conflicts, though nobody else writes" if found else ""


def _most_at_once(lines: list[Line]) -> int:
    """Loads and unloads under way at the same time on one engine, at most."""
    under_way: dict[str, int] = {}
    most = 0
    for line in lines:
        if isinstance(line, RequestLine):
            under_way[line.object] = under_way.get(line.object, 0) + (1 if line.event == "sent" else -1)
            most = max(most, under_way[line.object])
    return most


def _silence(folder: Path) -> str:
    """Nothing happens for half an hour: one request a pod and minute, however many adapters, and no write."""
    lines, wrong = _run(folder, adapters=[adapters(4)], duration="40m")
    asked = sum(1 for ln in lines if isinstance(ln, RequestLine) and ln.event == "sent" and ln.t > 600)
    return wrong or (f"{asked} loads and unloads in silence" if asked else "")


def _key(folder: Path) -> str:
    """Engines want a key."""
    key = "sk-" + "k" * 24
    spec = {"additionalConfig": {"api-key": key}}
    return _run(folder, key=key, adapters=[adapters(2, spec=spec)])[1]


# -- what users change


def _relabelled(folder: Path) -> str:
    """The selector comes to mean other pods."""
    other = {"matchLabels": SELECTOR["matchLabels"] | {"model.aibrix.ai/name": f"not-{MODEL}"}}
    edits = [{"at": "3m", "of": "ModelAdapter/a-0", "patch": {"spec": {"podSelector": other}}}]
    lines, wrong = _run(folder, adapters=[adapters(1)], edits=edits, duration="25m")
    last = _last(lines)
    return wrong or (f"it still names {last.instances}" if last is not None and last.instances else "")


def _new_artifact(folder: Path) -> str:
    """Another artifact for two replicas: it rolls pod by pod, and one of them serves at every moment."""
    edit = {"at": "3m", "of": "ModelAdapter/a-0", "patch": {"spec": {"artifactURL": "huggingface://acme/second"}}}
    lines, wrong = _run(folder, adapters=[adapters(1)], edits=[edit])
    down = [line.t for line in _of(lines) if line.t > 179 and not line.instances]
    roots = [line.root for line in lines if isinstance(line, EngineLine) and line.event == "loaded" and line.t > 180]
    if wrong or down:
        return wrong or f"nobody serves at {down[0]:g} s, though there are two replicas"
    return "" if roots == ["acme/second"] * 2 else f"what is loaded then is {roots}"


def _more_pods(folder: Path) -> str:
    """A Deployment grows: an adapter for every pod is on the new ones as soon as they are stable."""
    edits = [{"at": "3m", "of": f"Deployment/{MODEL}", "patch": {"spec": {"replicas": 5}}}]
    lines, wrong = _run(folder, adapters=[adapters(1, replicas=None)], edits=edits)
    return wrong or _running_by(lines, 180 + 30, replicas=5)


# -- pods and engines


def _restart(folder: Path) -> str:
    """The one engine that there is restarts in place: it is loaded again as soon as it is stable."""
    faults = [{"kind": "engine-restart", "pods": {"count": 1}, "at": "3m"}]
    lines, wrong = _run(folder, pods=1, adapters=ONE, faults=faults)
    ready = next((ln.t for ln in lines if isinstance(ln, PodLine) and ln.t > 181 and ln.ready), 0.0)
    again = next((ln.t for ln in _loads(lines) if ln.t > 180), 0.0)
    if wrong or not ready <= again <= ready + 7:
        return wrong or f"ready at {ready:g} s, it gets its next load at {again:g} s"
    return ""


def _readiness(folder: Path) -> str:
    """An adapter for every pod, one of which is ready and is not."""
    flap = {"kind": "readiness-flap", "pods": {"count": 1}, "from": "1m", "until": "4m", "up": "20s", "down": "20s"}
    return _run(folder, adapters=[adapters(2, replicas=None)], faults=[flap])[1]


def _killed(folder: Path) -> str:
    """Pods go, their Deployment makes new ones."""
    kills = {"kind": "pod-kill", "pods": {"count": 1}, "every": "50s", "until": "5m"}
    lines, wrong = _run(folder, adapters=[adapters(2)], faults=[kills], duration="20m")
    return wrong or _running_by(lines, 6 * 60, replicas=2)


# -- loads that fail


def _refusing(folder: Path) -> str:
    """The one pod that there is refuses: six attempts after waits of 5 to 80 s, then five minutes of peace."""
    faults = [{"kind": "connection-refused", "from": "1s", "until": "9m"}]
    lines, wrong = _run(folder, pods=1, adapters=ONE, faults=faults, duration="25m")
    times = [line.t for line in _loads(lines)]
    waits = [round(later - sooner) for sooner, later in pairwise(times)]
    if wrong or waits[:6] != [5, 10, 20, 40, 80, 300]:
        return wrong or f"between attempts are {waits} s"
    return _running_by(lines, 17 * 60)


def _broken(folder: Path) -> str:
    """The adapter itself is broken: a pod each is not tried again and again, and users read why."""
    faults = [{"kind": "invalid-adapter", "adapters": ["a-0"], "from": "0s", "until": "9m"}]
    lines, wrong = _run(folder, adapters=[adapters(1)], faults=faults, duration="25m")
    early = sum(1 for line in _loads(lines) if line.t < 280)
    if wrong or "Failed" not in {line.phase for line in _of(lines)}:
        return wrong or "its phase is never Failed"
    return f"{early} loads of a broken adapter in its first five minutes" if early > 2 else ""


def _impatient(folder: Path) -> str:
    """A load takes longer than the user has patience: the second attempt finds the name taken, by the right one."""
    engine = {"startup": "2s", "load": "8s", "unload": "50ms"}
    spec = {"additionalConfig": {"timeout": "2s"}}
    cluster = {"engines": {"default": engine}, "artifacts": {"bandwidth": "10Gbit/s"}}
    lines, wrong = _run(folder, cluster=cluster, adapters=[adapters(1, replicas=1, arrive={"at": "30s"}, spec=spec)])
    return wrong or _running_by(lines, 30 + 12)


def _given_up(folder: Path) -> str:
    """Deleted after its load was given up and before the engine had done with it."""
    engine = {"startup": "2s", "load": "30s", "unload": "50ms"}
    cluster = {"engines": {"default": engine}, "artifacts": {"bandwidth": "10Gbit/s"}}
    spec = {"additionalConfig": {"timeout": "2s"}}
    adapter = adapters(1, replicas=1, arrive={"at": "30s"}, leave={"after": "4s"}, spec=spec)
    return _run(folder, cluster=cluster, adapters=[adapter], duration="20m")[1]


# -- deletions


def _late_unload(folder: Path) -> str:
    """Deleted while engines refuse: it goes when they are back and have unloaded it, and no sooner."""
    lines, wrong = _run(folder, **_deleted_in_refusal(5 * 60))
    return wrong or _gone_by(lines, 5 * 60, 6 * 60 + 1)


def _given_up_unload(folder: Path) -> str:
    """Deleted while engines refuse for long: they hold it for as many tries as a load gets, and users are told."""
    lines, wrong = _run(folder, **_deleted_in_refusal(12 * 60))
    told = sum(1 for line in lines if isinstance(line, EventLine) and line.reason == "UnloadAbandoned")
    if wrong or told != 2:
        return wrong or f"users are told {told} times of an engine that could not be asked"
    return _gone_by(lines, 240 + 155, 240 + 165)


def _deleted_in_refusal(until: float) -> dict[str, Any]:
    refused = {"kind": "connection-refused", "from": "3m", "until": f"{until:g}s"}
    edits = [{"at": "4m", "of": "ModelAdapter/a-0", "delete": True}]
    return {"adapters": [adapters(1)], "faults": [refused], "edits": edits, "duration": "25m"}


# -- the API server


def _alone(folder: Path, kind: str) -> str:
    """All writes fail for ten seconds in which an adapter comes; nothing but its own next try will wake it."""
    fault = {"kind": kind, "probability": 1.0, "from": "25s", "until": "35s"}
    lines, wrong = _run(folder, adapters=ONE, faults=[fault])
    return wrong or _running_by(lines, 35 + 30)


def _lagging(folder: Path) -> str:
    """All news come four seconds late; what was written oneself is known, so that the only one who writes never meets
    a conflict."""
    lag = {"kind": "stale-reads", "lag": "4s", "from": "5s"}
    adapter = adapters(2, arrive={"at": "30s"}, leave={"after": "5m"})
    lines, wrong = _run(folder, adapters=[adapter], faults=[lag])
    return wrong or _conflicts(lines)


def _gap(folder: Path) -> str:
    """A pod is killed and an adapter deleted while no watch is open, and then their versions are too old to go on from:
    only a new list shows that they are gone."""
    faults = [
        {"kind": "watch-drop", "from": "2m50s", "until": "3m20s"},
        {"kind": "pod-kill", "pods": {"count": 1}, "at": "3m"},
        {"kind": "watch-expired", "at": "3m10s"},
    ]
    edits = [{"at": "3m", "of": "ModelAdapter/a-1", "delete": True}]
    return _run(folder, adapters=[adapters(2, replicas=None)], faults=faults, edits=edits, duration="20m")[1]


def _forgotten(folder: Path) -> str:
    """All adapters are deleted: the operator's metrics know of none."""
    leaving = adapters(12, arrive={"at": "30s"}, leave={"after": {"uniform": ["1m", "3m"]}})
    simulation = Simulation(a_scenario(folder, adapters=[leaving]))
    seen: list[float] = []
    until_end = simulation._until_end

    async def look(progress: Any) -> None:
        await until_end(progress)
        seen.append(simulation.replicas[0].metrics.total("lora_controller_adapters"))

    simulation._until_end = look  # type: ignore[method-assign]
    run(simulation.main(None), simulation.env)
    return f"{seen[0]:g} adapters are counted where none is left" if seen[0] else ""


WORLDS: dict[str, Callable[[Path], str]] = {
    "a burst": _burst,
    "silence": _silence,
    "a broken adapter": _broken,
    "a key": _key,
    "another selector": _relabelled,
    "another artifact": _new_artifact,
    "more pods": _more_pods,
    "an engine restarts": _restart,
    "readiness comes and goes": _readiness,
    "pods are killed": _killed,
    "a pod refuses": _refusing,
    "a load takes long": _impatient,
    "a load is given up": _given_up,
    "an unload is refused": _late_unload,
    "an engine is away": _given_up_unload,
    "conflicts": lambda folder: _alone(folder, "api-conflict"),
    "errors": lambda folder: _alone(folder, "api-error"),
    "late news": _lagging,
    "a gap": _gap,
    "nothing left": _forgotten,
}
