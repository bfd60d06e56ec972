"""Runs a small simulation and makes common checks of its trace; not a test."""

from pathlib import Path
from typing import Any

from tests.twin.worlds import a_scenario, adapters
from twin.evaluate import invariants
from twin.sim.simulation import simulate
from twin.trace.lines import AdapterLine, Counts, Line, RequestLine

QUICK: dict[str, Any] = {"startup": "2s", "load": "700ms", "unload": "50ms"}
ONE = [adapters(1, replicas=1, arrive={"at": "30s"})]


def run_world(folder: Path, *, slow: dict[str, Any] | None = None, **sections: Any) -> tuple[list[Line], str]:
    """Return (the trace, the first violation or an empty text). `slow`: settings of the API server."""
    cluster = {"engines": {"default": QUICK}, "artifacts": {"bandwidth": "10Gbit/s"}, "api": slow or {}}
    lines = list(simulate(a_scenario(folder, **{"cluster": cluster} | sections)).lines)
    violations = invariants.check(lines).violations
    first = violations[0] if violations else None
    return lines, f"{first.invariant}: {first.object} {first.message}" if first is not None else ""


def status_lines(lines: list[Line], adapter: str = "default/a-0") -> list[AdapterLine]:
    return [line for line in lines if isinstance(line, AdapterLine) and line.object == adapter]


def last(lines: list[Line], adapter: str = "default/a-0") -> AdapterLine | None:
    return next(reversed(status_lines(lines, adapter)), None)


def loads(lines: list[Line]) -> list[RequestLine]:
    return [ln for ln in lines if isinstance(ln, RequestLine) and (ln.event, ln.verb) == ("sent", "load")]


def running_by(lines: list[Line], timestamp: float, replicas: int = 1) -> str:
    """Return why the adapter does not run with `replicas` replicas from `moment` to the end; empty if it does."""
    statuses = status_lines(lines)
    late = [line for line in statuses if line.t > timestamp and len(line.instances) != replicas]
    before = [line for line in statuses if line.t <= timestamp]
    if late or not before or before[-1].phase != "Running" or len(before[-1].instances) != replicas:
        now = late[0] if late else (before[-1] if before else None)
        message = f"{now.phase or 'untouched'} on {now.instances}" if now is not None else "not there"
        return f"at {timestamp:g} s it is not Running with {replicas} replicas but {message}"
    return ""


def gone_by(lines: list[Line], soonest: float, latest: float) -> str:
    end = last(lines)
    if end is None or end.event != "deleted":
        return "its deletion does not come to an end"
    return "" if soonest <= end.t <= latest else f"it is gone at {end.t:g} s, not from {soonest:g} to {latest:g} s"


def conflicts(lines: list[Line]) -> str:
    count = sum(line.counts.get("api.conflicts", 0) for line in lines if isinstance(line, Counts))
    return f"{count} conflicts with a single writer" if count else ""
