"""Small simulations of the API server and of the operator's replicas, as in `small.py`; not a test."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.mutants.judging import ONE, conflicts, last, run_world, running_by
from tests.mutants.memory import nothing_is_kept
from tests.twin.worlds import a_scenario, adapters
from twin.kernel.loop import run
from twin.sim.simulation import Simulation


def _alone(folder: Path, kind: str) -> str:
    """All writes fail for ten seconds in which an adapter is created; only its own retry wakes it."""
    fault = {"kind": kind, "probability": 1.0, "from": "25s", "until": "35s"}
    lines, wrong = run_world(folder, adapters=ONE, faults=[fault])
    return wrong or running_by(lines, 35 + 30)


def _lagging(folder: Path) -> str:
    """All news come four seconds late; what was written oneself is known, so that the only one who writes never meets
    a conflict."""
    lag = {"kind": "stale-reads", "lag": "4s", "from": "5s"}
    adapter = adapters(2, arrive={"at": "30s"}, leave={"after": "5m"})
    lines, wrong = run_world(folder, adapters=[adapter], faults=[lag])
    return wrong or conflicts(lines)


def _gap(folder: Path) -> str:
    """A pod is killed and an adapter deleted while no watch is open, and then their versions are too old to go on from:
    only a new list shows that they are gone."""
    faults = [
        {"kind": "watch-drop", "from": "2m50s", "until": "3m20s"},
        {"kind": "pod-kill", "pods": {"count": 1}, "at": "3m"},
        {"kind": "watch-expired", "at": "3m10s"},
    ]
    edits = [{"at": "3m", "of": "ModelAdapter/a-1", "delete": True}]
    return run_world(folder, adapters=[adapters(2, replicas=None)], faults=faults, edits=edits, duration="20m")[1]


def _forgotten(folder: Path) -> str:
    """All adapters are deleted: the operator's metrics count 0."""
    leaving = adapters(12, arrive={"at": "30s"}, leave={"after": {"uniform": ["1m", "3m"]}})
    simulation = Simulation(a_scenario(folder, adapters=[leaving]))
    counts: list[float] = []
    until_end = simulation._until_end

    async def look(progress: Any) -> None:
        await until_end(progress)
        counts.append(simulation.replicas[0].metrics.total("lora_controller_adapters"))

    simulation._until_end = look  # type: ignore[method-assign]
    run(simulation.main(None), simulation.env)
    return f"{counts[0]:g} adapters are counted after the last one was deleted" if counts[0] else ""


def _two_hands(folder: Path) -> str:
    """A user sets a finalizer while the operator adds its own; the user's blocks the deletion."""
    edits = [
        {"at": "31.75s", "of": "ModelAdapter/a-0", "patch": {"metadata": {"finalizers": ["example.com/hold"]}}},
        {"at": "3m", "of": "ModelAdapter/a-0", "delete": True},
    ]
    lines, wrong = run_world(folder, slow={"latency": "1s"}, adapters=ONE, edits=edits, duration="6m")
    end = last(lines)
    return wrong or ("" if end is not None and end.event != "deleted" else "the user's own finalizer is gone")


def _slow_writes(folder: Path) -> str:
    """Each request to the API server takes 1.1 s: that delays a load, and does not prevent it."""
    lines, wrong = run_world(folder, slow={"latency": "1100ms"}, adapters=ONE)
    return wrong or running_by(lines, 30 + 20)


def _succession(folder: Path) -> str:
    """The leader crashes and does not restart: the other replica serves the adapter that is created then."""
    crash = {"kind": "controller-crash", "at": "20s", "restart_after": "1h"}
    lines, wrong = run_world(folder, adapters=ONE, faults=[crash], controller={"replicas": 2})
    return wrong or running_by(lines, 20 + 15 + 10)


CONTROL_WORLDS: dict[str, Callable[[Path], str]] = {
    "conflicts": lambda folder: _alone(folder, "api-conflict"),
    "errors": lambda folder: _alone(folder, "api-error"),
    "late news": _lagging,
    "a gap": _gap,
    "nothing left": _forgotten,
    "nothing kept": nothing_is_kept,
    "two hands": _two_hands,
    "slow writes": _slow_writes,
    "a succession": _succession,
}
