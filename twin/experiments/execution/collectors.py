"""Additional results of a run besides its measures, by name: small, plain values, since they are sent and stored."""

from collections.abc import Callable, Mapping
from typing import Any

from twin.evaluate.measures import samples
from twin.experiments.histories import histories
from twin.report import RunResult
from twin.trace.lines import AdapterLine, FaultLine


def _samples(run: RunResult) -> dict[str, list[float]]:
    """Return every single time behind the percentiles, for ECDFs over adapters."""
    return {name: [round(value, 3) for value in values] for name, values in samples(run.lines).items()}


def _coverage(run: RunResult) -> dict[str, Any]:
    """Return which faults were active, which at the same time, and the phases that adapters were in meanwhile."""
    active: dict[int, str] = {}
    phases: dict[str, str] = {}
    kinds, pairs, met = set[str](), set[tuple[str, str]](), set[tuple[str, str]]()
    for line in run.lines:
        if isinstance(line, FaultLine):
            kinds.add(line.fault)
            pairs.update(_sorted_pair(line.fault, other) for id_, other in active.items() if id_ != line.id)
            met.update((line.fault, phase) for phase in phases.values())
            if line.event == "begin":
                active[line.id] = line.fault
            elif line.event == "end":
                active.pop(line.id, None)
        elif isinstance(line, AdapterLine):
            if line.event == "deleted":
                phases.pop(line.object, None)
                continue
            phases[line.object] = "Deleting" if line.deleting else line.phase or "Pending"
            met.update((kind, phases[line.object]) for kind in active.values())
    return {"faults": sorted(kinds), "pairs": sorted(map(list, pairs)), "phases": sorted(map(list, met))}


def _sorted_pair(left: str, right: str) -> tuple[str, str]:
    return (left, right) if left <= right else (right, left)


def _invariants(run: RunResult) -> list[str]:
    """Return every violated invariant."""
    return sorted({str(violation.invariant) for violation in run.violations})


COLLECTORS: Mapping[str, Callable[[RunResult], Any]] = {
    "samples": _samples,
    "coverage": _coverage,
    "histories": lambda run: histories(run.lines),
    "invariants": _invariants,
}
