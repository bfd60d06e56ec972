"""`twin swarm`: many random scenarios, what they covered, and what they found."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twin.experiments.execution.results import ResultStore, code, folder_digest
from twin.experiments.execution.task import Row, Task
from twin.experiments.random_scenario import draw
from twin.experiments.raw_scenario import to_scenario
from twin.scenario import FAULTS

PHASES = ("Pending", "Scheduled", "Loading", "Bound", "Running", "Failed", "Deleting")


@dataclass(frozen=True, slots=True)
class Swarm:
    """Which seeds, which kinds of faults, which operator."""

    seeds: range
    kinds: tuple[str, ...]
    source: str = ""

    def key(self, seed: int) -> str:
        """Names a run."""
        operator = folder_digest(_package(self.source)) if self.source else ""
        return f"{code()}-{operator}-{'+'.join(self.kinds) if self.kinds != tuple(FAULTS) else 'all'}-{seed}"

    def tasks(self, store: ResultStore) -> Iterator[Task]:
        """Those that are not in the store yet."""
        return (self.task(seed) for seed in self.seeds if self.key(seed) not in store)

    def task(self, seed: int) -> Task:
        """One run."""
        return Task(
            key=self.key(seed),
            variant="",
            seed=seed,
            settings={},
            scenario=to_scenario(draw(seed, self.kinds)),
            source=self.source,
            collect=("coverage", "invariants"),
        )


@dataclass(slots=True)
class Coverage:
    """What a swarm has met."""

    runs: int = 0
    crashed: list[Row] = field(default_factory=list)
    broken: dict[str, list[Row]] = field(default_factory=dict)
    """By invariant."""
    faults: Counter[str] = field(default_factory=Counter)
    """In how many runs each kind struck."""
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Kinds that were there at the same time."""
    phases: Counter[tuple[str, str]] = field(default_factory=Counter)
    """A kind, and a phase that some adapter was in meanwhile."""

    def see(self, row: Row) -> None:
        """Counts a run."""
        self.runs += 1
        if row.error:
            self.crashed.append(row)
            return
        for name in row.collected["invariants"]:
            self.broken.setdefault(name, []).append(row)
        met = row.collected["coverage"]
        self.faults.update(met["faults"])
        self.pairs.update((one, other) for one, other in met["pairs"])
        self.phases.update((kind, phase) for kind, phase in met["phases"])

    def as_json(self, kinds: Sequence[str]) -> dict[str, Any]:
        """What `twin swarm --json` prints, the shrunk scenarios aside."""
        return {
            "runs": self.runs,
            "crashed": [{"seed": row.seed, "error": row.error} for row in self.crashed],
            "broken": {name: [row.seed for row in rows] for name, rows in sorted(self.broken.items())},
            "faults": {kind: self.faults[kind] for kind in kinds},
            "pairs": {"met": len(self.pairs), "possible": len(possible_pairs(kinds)), "unmet": self.unmet(kinds)},
            "phases": {kind: {phase: self.phases[kind, phase] for phase in PHASES} for kind in kinds},
        }

    def unmet(self, kinds: Sequence[str]) -> list[list[str]]:
        """Pairs of kinds that were never there at the same time."""
        return [[one, other] for one, other in possible_pairs(kinds) if not self.pairs[one, other]]


def covered(rows: Iterable[Row]) -> Coverage:
    """What these runs have met."""
    coverage = Coverage()
    for row in rows:
        coverage.see(row)
    return coverage


def possible_pairs(kinds: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of different kinds, in alphabetical order; a scenario has a kind once at most."""
    ordered = sorted(kinds)
    return [(one, other) for i, one in enumerate(ordered) for other in ordered[i + 1 :]]


def _package(source: str) -> Path:
    return Path(source) / "controller"
