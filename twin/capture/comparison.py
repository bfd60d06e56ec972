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
from twin.scenario import Scenario, load
from twin.sim.simulation import simulate
from twin.trace.lines import AdapterLine, Line

PHASES = ("Pending", "Scheduled", "Loading", "Bound", "until Running")
SEEDS = range(5)
"""Several, so that the chance of one run does not decide."""
RESOLUTION = 0.05
"""Seconds; smaller differences are within the timing error of a watch."""


@dataclass(frozen=True, slots=True)
class PhaseComparison:
    """Median seconds in one phase, captured and simulated."""

    phase: str
    captured: float
    simulated: float
    adapters: int

    @property
    def deviation(self) -> float:
        """The difference as a share of the captured value."""
        return abs(self.simulated - self.captured) / self.captured if self.captured else 0.0

    @property
    def matches(self) -> bool:
        """True if the deviation is at most 10 %, or below the resolution."""
        return self.deviation <= 0.1 or abs(self.simulated - self.captured) <= RESOLUTION


def compare_phases(scenario: Path, history: History) -> list[PhaseComparison]:
    """Compare the phases of the simulated scenario with the captured ones.

    Returns an empty list if no adapter was created and ran during the capture.

    Raises:
        KeyboardInterrupt: on Ctrl-C; a part of a run is not compared.
    """
    captured = medians(history.phases.values())
    runs = (_phases(_lines(load(scenario, seed=seed)), history.arrivals) for seed in SEEDS)
    simulated = medians(phases for run in runs for phases in run.values())
    count = sum(any(phase == "Running" for _, phase in phases) for phases in history.phases.values())
    return [
        PhaseComparison(phase, captured[phase], simulated[phase], count)
        for phase in PHASES
        if phase in captured and phase in simulated
    ]


def _lines(scenario: Scenario) -> Sequence[Line]:
    result = simulate(scenario)
    if result.partial:
        raise KeyboardInterrupt
    return result.lines


def medians(series: Iterable[list[tuple[float, str]]]) -> dict[str, float]:
    """Return the median seconds in each phase, over adapters that reached Running."""
    spent: dict[str, list[float]] = defaultdict(list)
    for phases in series:
        for phase, seconds in phase_seconds(phases):
            spent[phase].append(seconds)
    return {phase: median(values) for phase, values in spent.items()}


def _phases(lines: Sequence[Line], adapters: Mapping[str, object]) -> dict[str, list[tuple[float, str]]]:
    """Return the start of each phase of these adapters, from a trace."""
    phases: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for line in lines:
        if isinstance(line, AdapterLine) and line.object in adapters and line.event != "deleted":
            adapter = phases[line.object]
            if not adapter or adapter[-1][1] != line.phase:
                adapter.append((line.t, line.phase))
    return phases
