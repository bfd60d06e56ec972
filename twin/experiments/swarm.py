"""`twin swarm`: run many random scenarios; report faults and histories that they met, and violated invariants."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twin.experiments.execution.results import ResultStore, code_digest, folder_digest
from twin.experiments.execution.task import Row, Task
from twin.experiments.histories import HISTORIES
from twin.experiments.random_mistakes import draw_mistakes
from twin.experiments.random_scenario import draw
from twin.experiments.raw_scenario import RawScenario, to_scenario
from twin.scenario import FAULTS

PHASES = ("Pending", "Scheduled", "Loading", "Bound", "Running", "Failed", "Deleting")


@dataclass(frozen=True, slots=True)
class Swarm:
    """Seeds, kinds of faults, and the operator that runs."""

    seeds: range
    kinds: tuple[str, ...]
    source: str = ""
    """Folder of the checkout whose operator runs; empty for this process's own."""
    mistakes: bool = False
    """True for users' mistakes instead of faults."""

    def draft(self, seed: int) -> RawScenario:
        """Return the scenario of a seed."""
        return draw_mistakes(seed) if self.mistakes else draw(seed, self.kinds)

    def key(self, seed: int) -> str:
        """Return the key of a run."""
        operator = folder_digest(Path(self.source) / "controller") if self.source else ""
        kinds = "+".join(self.kinds) if self.kinds != tuple(FAULTS) else "all"
        kinds = "mistakes" if self.mistakes else kinds
        return f"{code_digest()}-{operator}-{kinds}-{seed}"

    def tasks(self, store: ResultStore) -> Iterator[Task]:
        """Return the tasks that are not stored yet."""
        return (self.task(seed) for seed in self.seeds if self.key(seed) not in store)

    def task(self, seed: int) -> Task:
        """Return the task of one seed."""
        return Task(
            key=self.key(seed),
            variant="",
            seed=seed,
            settings={},
            scenario=to_scenario(self.draft(seed)),
            source=self.source,
            collect=("coverage", "histories", "invariants"),
        )


@dataclass(slots=True)
class Coverage:
    """Faults, pairs and phases that a swarm has covered."""

    runs: int = 0
    crashed: list[Row] = field(default_factory=list)
    broken: dict[str, list[Row]] = field(default_factory=dict)
    """Runs by violated invariant."""
    faults: Counter[str] = field(default_factory=Counter)
    """Number of runs in which each kind of fault was injected."""
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Kinds of faults that were active at the same time."""
    phases: Counter[tuple[str, str]] = field(default_factory=Counter)
    """A kind of fault, and a phase that some adapter was in while it was active."""
    histories: Counter[str] = field(default_factory=Counter)
    """Number of runs that met each history."""
    history_pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Number of runs that met both histories."""

    def add(self, row: Row) -> None:
        """Count a run."""
        self.runs += 1
        if row.error:
            self.crashed.append(row)
            return
        for name in row.collected["invariants"]:
            self.broken.setdefault(name, []).append(row)
        coverage = row.collected["coverage"]
        self.faults.update(coverage["faults"])
        self.pairs.update((left, right) for left, right in coverage["pairs"])
        self.phases.update((kind, phase) for kind, phase in coverage["phases"])
        met = row.collected["histories"]
        self.histories.update(met)
        self.history_pairs.update(possible_pairs(met))

    def as_json(self, kinds: Sequence[str]) -> dict[str, Any]:
        """Return what `twin swarm --json` prints, without the shrunk scenarios."""
        return {
            "runs": self.runs,
            "crashed": [{"seed": row.seed, "error": row.error} for row in self.crashed],
            "broken": {name: [row.seed for row in rows] for name, rows in sorted(self.broken.items())},
            "faults": {kind: self.faults[kind] for kind in kinds},
            "pairs": {"met": len(self.pairs), "possible": len(possible_pairs(kinds)), "unmet": self.unmet(kinds)},
            "histories": {name: self.histories[name] for name in HISTORIES},
            "history_pairs": {
                "met": len(self.history_pairs),
                "possible": len(possible_pairs(HISTORIES)),
                "runs": {
                    f"{left}+{right}": self.history_pairs[left, right] for left, right in possible_pairs(HISTORIES)
                },
            },
            "phases": {kind: {phase: self.phases[kind, phase] for phase in PHASES} for kind in kinds},
        }

    def unmet(self, kinds: Sequence[str]) -> list[list[str]]:
        """Return the pairs of kinds that were never active at the same time."""
        return [[left, right] for left, right in possible_pairs(kinds) if not self.pairs[left, right]]


@dataclass(frozen=True, slots=True)
class FoundScenario:
    """Scenario file written for a violated invariant; sizes are those of `shrink.describe_size`."""

    invariant: str
    seed: int
    violation: str
    file: str
    size: str
    before: str
    """Size before shrinking."""


def measure_coverage(rows: Iterable[Row]) -> Coverage:
    """Return what these runs have exercised."""
    coverage = Coverage()
    for row in rows:
        coverage.add(row)
    return coverage


def possible_pairs(kinds: Iterable[str]) -> list[tuple[str, str]]:
    """Return the pairs of different kinds (or histories) in alphabetical order."""
    ordered = sorted(kinds)
    return [(left, right) for i, left in enumerate(ordered) for right in ordered[i + 1 :]]
