"""What a run may bring back besides its measures, by name: small, plain values, for they travel and are stored."""

from collections.abc import Callable, Mapping
from typing import Any

from twin.evaluate.measures import samples
from twin.report import RunResult
from twin.trace.lines import AdapterLine, FaultLine


def _samples(findings: RunResult) -> dict[str, list[float]]:
    """Every single time behind the percentiles, for ECDFs over adapters."""
    return {name: [round(value, 3) for value in values] for name, values in samples(findings.lines).items()}


def _coverage(findings: RunResult) -> dict[str, Any]:
    """Which faults were there, which of them at the same time, and which phases adapters were in meanwhile."""
    active: dict[int, str] = {}
    phases: dict[str, str] = {}
    kinds, together, met = set[str](), set[tuple[str, str]](), set[tuple[str, str]]()
    for line in findings.lines:
        if isinstance(line, FaultLine):
            kinds.add(line.fault)
            together.update(_pair(line.fault, other) for number, other in active.items() if number != line.id)
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
    return {"faults": sorted(kinds), "pairs": sorted(map(list, together)), "phases": sorted(map(list, met))}


def _pair(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one <= other else (other, one)


def _invariants(findings: RunResult) -> list[str]:
    """Every invariant that was broken."""
    return sorted({str(violation.invariant) for violation in findings.violations})


COLLECTORS: Mapping[str, Callable[[RunResult], Any]] = {
    "samples": _samples,
    "coverage": _coverage,
    "invariants": _invariants,
}
