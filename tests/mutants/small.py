"""Small worlds, each of which asks for one promise that a whole life does not; not a test."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.twin.worlds import MODEL, SELECTOR, a_scenario, adapters
from twin import oracles
from twin.record import AdapterLine, Line, RequestLine
from twin.simulation import simulate


def _run(folder: Path, **sections: Any) -> tuple[list[Line], str]:
    """(the record, the first violation if there is one)."""
    lines = list(simulate(a_scenario(folder, **sections)).lines)
    found = oracles.check(lines).violations
    return lines, f"{found[0].invariant}: {found[0].object} {found[0].message}" if found else ""


def _last(lines: list[Line], adapter: str) -> AdapterLine | None:
    return next((ln for ln in reversed(lines) if isinstance(ln, AdapterLine) and ln.object == adapter), None)


def _burst(folder: Path) -> str:
    """Thirty adapters at once, eight pods: they spread, and no engine gets more than two loads at a time."""
    lines, wrong = _run(folder, pods=8, adapters=[adapters(32, replicas=1, arrive={"at": "30s"})], duration="15m")
    ends = [_last(lines, f"default/a-{number}") for number in range(32)]
    on = [pod for line in ends if line is not None for pod in line.instances]
    crowd = max((on.count(pod) for pod in on), default=0)
    under_way: dict[str, int] = {}
    most = 0
    for line in lines:
        if isinstance(line, RequestLine) and line.verb in ("load", "unload"):
            under_way[line.object] = under_way.get(line.object, 0) + (1 if line.event == "sent" else -1)
            most = max(most, under_way[line.object])
    if wrong or len(on) != 32:
        return wrong or f"{len(on)} of 32 run"
    if crowd > 5:
        return f"{crowd} of 32 adapters are on one of 8 pods"
    return f"{most} requests at a time on one engine" if most > 2 else ""


def _silence(folder: Path) -> str:
    """Nothing happens for half an hour: one request a pod and minute, however many adapters, and no write."""
    lines, wrong = _run(folder, adapters=[adapters(4)], duration="40m")
    asked = sum(1 for ln in lines if isinstance(ln, RequestLine) and ln.event == "sent" and ln.t > 600)
    return wrong or (f"{asked} loads and unloads in silence" if asked else "")


def _refused_adapter(folder: Path) -> str:
    """The adapter itself is broken: a pod each is not tried again and again, and users read why."""
    faults = [{"kind": "invalid-adapter", "adapters": ["a-0"], "from": "0s", "until": "9m"}]
    lines, wrong = _run(folder, adapters=[adapters(1)], faults=faults, duration="25m")
    loads = [ln for ln in lines if isinstance(ln, RequestLine) and (ln.event, ln.verb) == ("sent", "load")]
    early = sum(1 for ln in loads if ln.t < 280)
    said = {ln.phase for ln in lines if isinstance(ln, AdapterLine)}
    if wrong or "Failed" not in said:
        return wrong or "its phase is never Failed"
    return f"{early} loads of a broken adapter in its first five minutes" if early > 2 else ""


def _key(folder: Path) -> str:
    """Engines want a key."""
    key = "sk-" + "k" * 24
    spec = {"additionalConfig": {"api-key": key}}
    return _run(folder, key=key, adapters=[adapters(2, spec=spec)])[1]


def _relabelled(folder: Path) -> str:
    """The selector comes to mean other pods."""
    other = {"matchLabels": SELECTOR["matchLabels"] | {"model.aibrix.ai/name": f"not-{MODEL}"}}
    edits = [{"at": "3m", "of": "ModelAdapter/a-0", "patch": {"spec": {"podSelector": other}}}]
    lines, wrong = _run(folder, adapters=[adapters(1)], edits=edits, duration="25m")
    last = _last(lines, "default/a-0")
    return wrong or (f"it still names {last.instances}" if last is not None and last.instances else "")


WORLDS: dict[str, Callable[[Path], str]] = {
    "a burst": _burst,
    "silence": _silence,
    "a broken adapter": _refused_adapter,
    "a key": _key,
    "another selector": _relabelled,
}
