"""Compares a simulated and a served run of the same scenario.

Both are judged like any run. Added to their measures are values that a summary does not contain: how long adapters
stayed in each phase, how often each was tried, and whether the same adapters are on the same pods (a pod has the same
name in both, because names are drawn from the seed).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from twin.report import RunResult
from twin.trace.lines import AdapterLine, Line, RequestLine

THRESHOLD = 0.05
"""Relative difference above which a row is shown by default."""
_SKIPPED = ("seed", "duration_seconds", "invariants.checked", "reconciles")
"""Measures that are not compared: inputs, or values that only one of the runs has."""
_ALWAYS = ("adapters", "loads", "invariants")
"""Measures that are always shown."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measure of both runs; times in seconds."""

    name: str
    simulated: float | None
    served: float | None

    @property
    def difference(self) -> float | None:
        """Difference of the served value relative to the simulated one; None if it is undefined."""
        if self.simulated is None or self.served is None:
            return None
        if self.simulated == self.served:
            return 0.0
        return (self.served - self.simulated) / abs(self.simulated) if self.simulated else None

    @property
    def exceeds_threshold(self) -> bool:
        if self.simulated == self.served:
            return False
        return self.difference is None or abs(self.difference) > THRESHOLD


def compare_runs(simulated: RunResult, served: RunResult) -> list[Row]:
    """Return all measures that at least one of the runs has."""
    simulated_values, served_values = dict(_measures(simulated)), dict(_measures(served))
    names = dict.fromkeys([*simulated_values, *served_values])
    rows = [Row(name, simulated_values.get(name), served_values.get(name)) for name in names]
    rows.append(Row("placement.same_pods", 1.0, _same_placement(simulated.lines, served.lines)))
    return [row for row in rows if row.simulated or row.served or row.name.startswith(_ALWAYS)]


def _measures(findings: RunResult) -> Iterator[tuple[str, float | None]]:
    yield from _numbers(findings.measures)
    for phase, seconds in sorted(_phases(findings.lines).items()):
        yield f"phase.{phase or 'new'}.mean_seconds", round(seconds, 3)
    attempts = _attempts(findings.lines)
    yield "attempts.most", float(max(attempts.values(), default=0))
    yield "attempts.mean", round(fmean(attempts.values()), 3) if attempts else None


def _numbers(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, float | None]]:
    """Yield the numbers of a summary by their dotted names."""
    for key, value in tree.items():
        name = f"{path}{key}"
        if name.startswith(_SKIPPED):
            continue
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)


def _phases(lines: Sequence[Line]) -> dict[str, float]:
    """Return the mean time that adapters stayed in each phase; the last phase of each adapter is not counted."""
    spans: dict[str, list[float]] = defaultdict(list)
    current: dict[str, tuple[str, float]] = {}
    for line in lines:
        if not isinstance(line, AdapterLine):
            continue
        phase, since = current.get(line.object, (line.phase, line.t))
        if phase != line.phase:
            spans[phase].append(line.t - since)
            since = line.t
        current[line.object] = (line.phase, since)
    return {phase: fmean(durations) for phase, durations in spans.items()}


def _attempts(lines: Sequence[Line]) -> dict[str, int]:
    """Return the number of load requests of each adapter."""
    result: dict[str, int] = defaultdict(int)
    for line in lines:
        if isinstance(line, RequestLine) and line.event == "sent" and line.verb == "load":
            result[line.adapter] += 1
    return result


def _same_placement(simulated: Sequence[Line], served: Sequence[Line]) -> float | None:
    """Return the share of adapters that are on the same pods at the end."""
    before, after = _placement(simulated), _placement(served)
    names = before.keys() | after.keys()
    return sum(before.get(name) == after.get(name) for name in names) / len(names) if names else None


def _placement(lines: Sequence[Line]) -> dict[str, frozenset[str]]:
    result: dict[str, frozenset[str]] = {}
    for line in lines:
        if isinstance(line, AdapterLine):
            result[line.object] = frozenset(line.instances)
            if line.event == "deleted":
                del result[line.object]
    return result
