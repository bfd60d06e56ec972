"""The same scenario in two worlds, simulated and served, side by side: where do they differ, and by how much?

Both are judged as any run is. To their measures come what a summary has no name for: how long adapters stayed in each
phase, how often each was tried, and whether the same adapters came to the same pods (a pod has the same name in both,
for names are drawn from the seed).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from twin.report import RunResult
from twin.trace.lines import AdapterLine, Line, RequestLine

MATTERS = 0.05
"""Share of the simulated value above which a difference is shown as one that matters."""
_UNLIKE = ("seed", "duration_seconds", "invariants.checked", "reconciles")
"""Measures that say nothing of the likeness: input, or counted in one of the worlds alone."""
_ALWAYS = ("adapters", "loads", "invariants")
"""Shown although they are equal: the numbers that a reader looks for first."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measure in both worlds; times in seconds."""

    name: str
    simulated: float | None
    served: float | None

    @property
    def difference(self) -> float | None:
        """Of the served value, as a share of the simulated one; None where there is no such share."""
        if self.simulated is None or self.served is None:
            return None
        if self.simulated == self.served:
            return 0.0
        return (self.served - self.simulated) / abs(self.simulated) if self.simulated else None

    @property
    def matters(self) -> bool:
        if self.simulated == self.served:
            return False
        return self.difference is None or abs(self.difference) > MATTERS


def compare_runs(simulated: RunResult, served: RunResult) -> list[Row]:
    """All measures that at least one of the worlds has."""
    here, there = dict(_measured(simulated)), dict(_measured(served))
    rows = [Row(name, here.get(name), there.get(name)) for name in dict.fromkeys([*here, *there])]
    rows.append(Row("placement.same_pods", 1.0, _same(simulated.lines, served.lines)))
    return [row for row in rows if row.simulated or row.served or row.name.startswith(_ALWAYS)]


def _measured(findings: RunResult) -> Iterator[tuple[str, float | None]]:
    yield from _leaves(findings.measures)
    for phase, seconds in sorted(_phases(findings.lines).items()):
        yield f"phase.{phase or 'new'}.mean_seconds", round(seconds, 3)
    attempts = _attempts(findings.lines)
    yield "attempts.most", float(max(attempts.values(), default=0))
    yield "attempts.mean", round(fmean(attempts.values()), 3) if attempts else None


def _leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, float | None]]:
    """Numbers of a summary, by their dotted names."""
    for key, value in tree.items():
        name = f"{path}{key}"
        if name.startswith(_UNLIKE):
            continue
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)


def _phases(lines: Sequence[Line]) -> dict[str, float]:
    """Phase to the mean time that adapters stayed in it until the next; what lasts to the end is not counted."""
    spans: dict[str, list[float]] = defaultdict(list)
    present: dict[str, tuple[str, float]] = {}
    for line in lines:
        if not isinstance(line, AdapterLine):
            continue
        phase, since = present.get(line.object, (line.phase, line.t))
        if phase != line.phase:
            spans[phase].append(line.t - since)
            since = line.t
        present[line.object] = (line.phase, since)
    return {phase: fmean(found) for phase, found in spans.items()}


def _attempts(lines: Sequence[Line]) -> dict[str, int]:
    """Adapter to the loads that were sent for it."""
    found: dict[str, int] = defaultdict(int)
    for line in lines:
        if isinstance(line, RequestLine) and line.event == "sent" and line.verb == "load":
            found[line.adapter] += 1
    return found


def _same(simulated: Sequence[Line], served: Sequence[Line]) -> float | None:
    """Share of the adapters that are on the same pods at the end."""
    here, there = _placed(simulated), _placed(served)
    names = here.keys() | there.keys()
    return sum(here.get(name) == there.get(name) for name in names) / len(names) if names else None


def _placed(lines: Sequence[Line]) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for line in lines:
        if isinstance(line, AdapterLine):
            found[line.object] = frozenset(line.instances)
            if line.event == "deleted":
                del found[line.object]
    return found
