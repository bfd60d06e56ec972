"""Small simulations of pods and engines, for promises that the lifecycle does not cover; not a test.

A world is a scenario of a few pods and a judge of its record: what is wrong, in a sentence, or nothing. The invariants
of `twin/evaluate/invariants` hold in each; what only this world can tell comes on top.
"""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.mutants.judging import ONE, conflicts, gone_by, last, loads, run_world, running_by, status_lines
from tests.twin.worlds import MODEL, SELECTOR, adapters, deployment
from twin.trace.lines import EngineLine, EventLine, Line, PodLine, RequestLine

# -- nothing goes wrong


def _burst(folder: Path) -> str:
    """Thirty adapters at once, eight pods: they spread, no engine gets more than two loads at a time, and the only
    one who writes never meets a conflict."""
    lines, wrong = run_world(folder, pods=8, adapters=[adapters(32, replicas=1, arrive={"at": "30s"})], duration="15m")
    ends = [last(lines, f"default/a-{number}") for number in range(32)]
    on = [pod for line in ends if line is not None for pod in line.instances]
    crowd = max((on.count(pod) for pod in on), default=0)
    if wrong or len(on) != 32:
        return wrong or f"{len(on)} of 32 run"
    if crowd > 5:
        return f"{crowd} of 32 adapters are on one of 8 pods"
    most = _most_at_once(lines)
    return f"{most} requests at a time on one engine" if most > 2 else conflicts(lines)


def _most_at_once(lines: list[Line]) -> int:
    """Return the maximum number of loads and unloads in flight on one engine."""
    under_way: dict[str, int] = {}
    most = 0
    for line in lines:
        if isinstance(line, RequestLine):
            under_way[line.object] = under_way.get(line.object, 0) + (1 if line.event == "sent" else -1)
            most = max(most, under_way[line.object])
    return most


def _silence(folder: Path) -> str:
    """Nothing changes for half an hour: no loads and unloads."""
    lines, wrong = run_world(folder, adapters=[adapters(4)], duration="40m")
    count = sum(1 for ln in lines if isinstance(ln, RequestLine) and ln.event == "sent" and ln.t > 600)
    return wrong or (f"{count} loads and unloads without a cause" if count else "")


def _key(folder: Path) -> str:
    """Engines require a key."""
    key = "sk-" + "k" * 24
    spec = {"additionalConfig": {"api-key": key}}
    return run_world(folder, key=key, adapters=[adapters(2, spec=spec)])[1]


# -- what users change


def _relabelled(folder: Path) -> str:
    """The selector is changed to match other pods."""
    other = {"matchLabels": SELECTOR["matchLabels"] | {"model.aibrix.ai/name": f"not-{MODEL}"}}
    edits = [{"at": "3m", "of": "ModelAdapter/a-0", "patch": {"spec": {"podSelector": other}}}]
    lines, wrong = run_world(folder, adapters=[adapters(1)], edits=edits, duration="25m")
    end = last(lines)
    return wrong or (f"it still names {end.instances}" if end is not None and end.instances else "")


def _new_artifact(folder: Path) -> str:
    """Another artifact for two replicas: it is replaced pod by pod, and one of them serves at any time."""
    edit = {"at": "3m", "of": "ModelAdapter/a-0", "patch": {"spec": {"artifactURL": "huggingface://acme/second"}}}
    lines, wrong = run_world(folder, adapters=[adapters(1)], edits=[edit])
    down = [line.t for line in status_lines(lines) if line.t > 179 and not line.instances]
    roots = [line.root for line in lines if isinstance(line, EngineLine) and line.event == "loaded" and line.t > 180]
    if wrong or down:
        return wrong or f"no replica serves at {down[0]:g} s, although there are two"
    return "" if roots == ["acme/second"] * 2 else f"what is loaded then is {roots}"


def _already_there(folder: Path) -> str:
    """Both engines were started with another adapter of that name, and are stable when the object is created."""
    engines = [deployment(2, flags=["--lora-modules", "a-0=/mnt/a-0"])]
    lines, wrong = run_world(folder, objects=engines, adapters=[adapters(1, arrive={"at": "1m"})], duration="3m")
    return wrong or running_by(lines, 90, replicas=2)


def _more_pods(folder: Path) -> str:
    """A Deployment grows: an adapter for every pod is on the new ones as soon as they are stable."""
    edits = [{"at": "3m", "of": f"Deployment/{MODEL}", "patch": {"spec": {"replicas": 5}}}]
    lines, wrong = run_world(folder, adapters=[adapters(1, replicas=None)], edits=edits)
    return wrong or running_by(lines, 180 + 30, replicas=5)


# -- pods and engines


def _restart(folder: Path) -> str:
    """The only engine restarts in place: the adapter is loaded again as soon as it is stable."""
    faults = [{"kind": "engine-restart", "pods": {"count": 1}, "at": "3m"}]
    lines, wrong = run_world(folder, pods=1, adapters=ONE, faults=faults)
    ready = next((ln.t for ln in lines if isinstance(ln, PodLine) and ln.t > 181 and ln.ready), 0.0)
    again = next((ln.t for ln in loads(lines) if ln.t > 180), 0.0)
    if wrong or not ready <= again <= ready + 7:
        return wrong or f"ready at {ready:g} s, it gets its next load at {again:g} s"
    return ""


def _readiness(folder: Path) -> str:
    """An adapter for every pod, one of which flaps."""
    flap = {
        "kind": "readiness-flap",
        "pods": {"count": 1},
        "from": "1m",
        "until": "4m",
        "ready_for": "20s",
        "unready_for": "20s",
    }
    return run_world(folder, adapters=[adapters(2, replicas=None)], faults=[flap])[1]


def _full(folder: Path) -> str:
    """A policy finds no capacity for one of 17 adapters, until another is deleted."""
    many = [adapters(17, replicas=1, spec={"schedulerName": "bin-pack"})]
    edit = {"at": "3m", "of": "ModelAdapter/a-0", "delete": True}
    return run_world(folder, pods=1, adapters=many, edits=[edit], duration="6m")[1]


def _killed(folder: Path) -> str:
    """Pods are killed, and their Deployment creates new ones."""
    kills = {"kind": "pod-kill", "pods": {"count": 1}, "every": "50s", "until": "5m"}
    lines, wrong = run_world(folder, adapters=[adapters(2)], faults=[kills], duration="20m")
    return wrong or running_by(lines, 6 * 60, replicas=2)


# -- loads that fail


def _refusing(folder: Path) -> str:
    """The only pod refuses: six attempts with delays of 5 to 80 s, then a cooldown of five minutes."""
    faults = [{"kind": "connection-refused", "from": "1s", "until": "9m"}]
    lines, wrong = run_world(folder, pods=1, adapters=ONE, faults=faults, duration="25m")
    times = [line.t for line in loads(lines)]
    waits = [round(later - sooner) for sooner, later in pairwise(times)]
    if wrong or waits[:6] != [5, 10, 20, 40, 80, 300]:
        return wrong or f"between attempts are {waits} s"
    return running_by(lines, 17 * 60)


def _known_bad(folder: Path) -> str:
    """A pod of three refuses: one adapter finds out, and the later ones are placed elsewhere at once."""
    faults = [{"kind": "connection-refused", "pods": {"count": 1}, "from": "1s"}]
    arrivals = [adapters(6, replicas=1, arrive={"poisson": "12/min", "from": "30s"})]
    lines, wrong = run_world(folder, adapters=arrivals, faults=faults, duration="4m")
    failed = {line.adapter for line in lines if isinstance(line, RequestLine) and line.event == "done" and line.error}
    return wrong or (f"{sorted(failed)} were all sent to the pod that refuses" if len(failed) > 1 else "")


def _at_once(folder: Path) -> str:
    """An eager operator leaves a pod that refuses after the first attempt."""
    faults = [{"kind": "connection-refused", "pods": {"count": 2}, "from": "1s"}]
    lines, wrong = run_world(folder, adapters=ONE, faults=faults, controller={"retry": {"switch": "eager"}})
    return wrong or running_by(lines, 30 + 15)


def _broken(folder: Path) -> str:
    """The adapter itself is broken: it is not tried on new pods, and its status has the reason."""
    faults = [{"kind": "invalid-adapter", "adapters": ["a-0"], "from": "0s", "until": "9m"}]
    edits = [{"at": "2m", "of": f"Deployment/{MODEL}", "patch": {"spec": {"replicas": 6}}}]
    lines, wrong = run_world(folder, adapters=[adapters(1, replicas=None)], faults=faults, edits=edits, duration="25m")
    early = sum(1 for line in loads(lines) if line.t < 280)
    if wrong or "Failed" not in {line.phase for line in status_lines(lines)}:
        return wrong or "its phase is never Failed"
    return f"{early} loads of a broken adapter in its first five minutes" if early > 3 else ""


def _sooner(folder: Path) -> str:
    """A broken adapter is retried after five minutes; after its user has fixed it, within seconds."""
    faults = [
        {"kind": "invalid-adapter", "adapters": ["a-0"], "until": "1m20s"},
        {"kind": "connection-refused", "from": "1m25s", "until": "1m37s"},
    ]
    edit = {"at": "90s", "of": "ModelAdapter/a-0", "patch": {"spec": {"artifactURL": "huggingface://acme/second"}}}
    lines, wrong = run_world(folder, pods=1, adapters=ONE, faults=faults, edits=[edit])
    return wrong or running_by(lines, 90 + 5 + 10 + 5)


def _impatient(folder: Path) -> str:
    """A load takes longer than its timeout: at the second attempt the adapter is already loaded."""
    engine = {"startup": "2s", "load": "8s", "unload": "50ms"}
    spec = {"additionalConfig": {"timeout": "2s"}}
    cluster = {"engines": {"default": engine}, "artifacts": {"bandwidth": "10Gbit/s"}}
    lines, wrong = run_world(
        folder, cluster=cluster, adapters=[adapters(1, replicas=1, arrive={"at": "30s"}, spec=spec)]
    )
    return wrong or running_by(lines, 30 + 12)


def _given_up(folder: Path) -> str:
    """Deleted after its load timed out and before the engine finished it."""
    engine = {"startup": "2s", "load": "30s", "unload": "50ms"}
    cluster = {"engines": {"default": engine}, "artifacts": {"bandwidth": "10Gbit/s"}}
    spec = {"additionalConfig": {"timeout": "2s"}}
    adapter = adapters(1, replicas=1, arrive={"at": "30s"}, leave={"after": "4s"}, spec=spec)
    return run_world(folder, cluster=cluster, adapters=[adapter], duration="20m")[1]


# -- deletions


def _nothing_there(folder: Path) -> str:
    """Deleted after a load that the engine never started: a 404 to the unload counts as unloaded."""
    hung = {"kind": "timeout", "adapters": ["a-0"], "from": "25s", "until": "50s"}
    spec = {"additionalConfig": {"timeout": "2s"}}
    adapter = adapters(1, replicas=1, arrive={"at": "30s"}, leave={"after": "22s"}, spec=spec)
    lines, wrong = run_world(folder, adapters=[adapter], faults=[hung])
    return wrong or gone_by(lines, 52, 53)


def _late_unload(folder: Path) -> str:
    """Deleted while engines refuse: the object remains until they have unloaded it."""
    lines, wrong = run_world(folder, **_deleted_in_refusal(5 * 60))
    return wrong or gone_by(lines, 5 * 60, 6 * 60 + 1)


def _given_up_unload(folder: Path) -> str:
    """Deleted while engines refuse for long: the unload is retried as often as a load, then abandoned with an Event."""
    lines, wrong = run_world(folder, **_deleted_in_refusal(12 * 60))
    events = sum(1 for line in lines if isinstance(line, EventLine) and line.reason == "UnloadAbandoned")
    if wrong or events != 2:
        return wrong or f"{events} UnloadAbandoned Events, not 2"
    return gone_by(lines, 240 + 155, 240 + 165)


def _deleted_in_refusal(until: float) -> dict[str, Any]:
    refused = {"kind": "connection-refused", "from": "3m", "until": f"{until:g}s"}
    edits = [{"at": "4m", "of": "ModelAdapter/a-0", "delete": True}]
    return {"adapters": [adapters(1)], "faults": [refused], "edits": edits, "duration": "25m"}


POD_WORLDS: dict[str, Callable[[Path], str]] = {
    "a burst": _burst,
    "silence": _silence,
    "a broken adapter": _broken,
    "a key": _key,
    "another selector": _relabelled,
    "another artifact": _new_artifact,
    "already there": _already_there,
    "more pods": _more_pods,
    "an engine restarts": _restart,
    "readiness comes and goes": _readiness,
    "pods are killed": _killed,
    "a pod is full": _full,
    "a pod refuses": _refusing,
    "known bad": _known_bad,
    "at once": _at_once,
    "another wish": _sooner,
    "a load takes long": _impatient,
    "a load is given up": _given_up,
    "nothing there": _nothing_there,
    "an unload is refused": _late_unload,
    "an engine is away": _given_up_unload,
}
