"""Compare a captured scenario, run with a few seeds, with the observed cluster: time in each phase.

Only adapters created during the capture are compared. Those that existed before were loaded by engines that had been
up for long; in the twin their engines are still starting.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from twin.capture.history import History, phase_seconds
from twin.scenario import load
from twin.sim.simulation import simulate
from twin.trace.lines import AdapterLine, Line

PHASES = ("Pending", "Scheduled", "Loading", "Bound", "until Running")
SEEDS = range(5)
"""One run's luck would be a part of the difference."""
TELLABLE = 0.05
"""Seconds; a difference that is smaller lies within what the times of a watch can tell."""


@dataclass(frozen=True, slots=True)
class PhaseComparison:
    """Median seconds in one phase."""

    phase: str
    captured: float
    simulated: float
    adapters: int

    @property
    def off(self) -> float:
        """The difference as a share of what was captured."""
        return abs(self.simulated - self.captured) / self.captured if self.captured else 0.0

    @property
    def alike(self) -> bool:
        """Within 10 %, or closer than can be told."""
        return self.off <= 0.1 or abs(self.simulated - self.captured) <= TELLABLE


def compare_phases(scenario: Path, found: History) -> list[PhaseComparison]:
    """The scenario's phases beside those that were seen; empty if nobody came and ran during the look."""
    captured = medians(found.phases.values())
    runs = (_phases(simulate(load(scenario, seed=seed)).lines, found.arrivals) for seed in SEEDS)
    simulated = medians(phases for run in runs for phases in run.values())
    count = sum(any(phase == "Running" for _, phase in phases) for phases in found.phases.values())
    return [
        PhaseComparison(phase, captured[phase], simulated[phase], count)
        for phase in PHASES
        if phase in captured and phase in simulated
    ]


def medians(series: Iterable[list[tuple[float, str]]]) -> dict[str, float]:
    """Median seconds in each phase, over adapters that got to run."""
    spent: dict[str, list[float]] = defaultdict(list)
    for phases in series:
        for phase, seconds in phase_seconds(phases):
            spent[phase].append(seconds)
    return {phase: median(values) for phase, values in spent.items()}


def _phases(lines: Sequence[Line], wanted: Mapping[str, object]) -> dict[str, list[tuple[float, str]]]:
    """When each phase of these adapters began, in a record."""
    found: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for line in lines:
        if isinstance(line, AdapterLine) and line.object in wanted and line.event != "deleted":
            told = found[line.object]
            if not told or told[-1][1] != line.phase:
                told.append((line.t, line.phase))
    return found
