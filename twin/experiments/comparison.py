"""`twin compare` from the design to the verdict: run, judge, and if wanted run more seeds until it is settled."""

import json
import math
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from twin.evaluate import statistics
from twin.evaluate.statistics import Comparison, half_width, paired, seeds_for_width
from twin.experiments.design import Design, Variant
from twin.experiments.execution.executors import Executor
from twin.experiments.execution.results import ResultStore
from twin.experiments.execution.runner import RowCallback, run_all
from twin.experiments.execution.task import Row
from twin.report.wording import HEADLINES, sentence
from twin.scenario import MEASURES, unknown_measure

FIRST_SEEDS = 10
"""`--seeds auto` begins with these."""
NOT_COMPARED = ("invariants.checked",)
"""Says how much there was to check, nothing about the operator."""

ProgressFactory = Callable[[int], AbstractContextManager[RowCallback | None]]
"""A context that watches so many runs."""


@dataclass(frozen=True, slots=True)
class ComparisonResult:
    """A comparison that has been made."""

    design: Design
    rows: Sequence[Row]
    comparisons: Sequence[Comparison]
    level: float
    precision: float
    remarks: tuple[str, ...]
    """What must be known when reading it, the gravest first."""

    @property
    def others(self) -> tuple[Variant, ...]:
        """All variants but the baseline."""
        return self.design.variants[1:]

    def of(self, variant: str) -> list[Comparison]:
        """The comparisons of one variant."""
        return [comparison for comparison in self.comparisons if comparison.variant == variant]

    def sentences(self) -> dict[str, str]:
        """Each variant in plain words."""
        return {variant.name: sentence(self.of(variant.name)) for variant in self.others}

    @property
    def broken(self) -> list[Row]:
        """Runs that crashed or broke an invariant."""
        return [row for row in self.rows if row.error or row.violation]

    def as_json(self) -> dict[str, Any]:
        """What `twin compare --json` prints."""
        return {
            "scenario": self.design.baseline.scenario.name,
            "baseline": self.design.baseline.name,
            "variants": [variant.name for variant in self.others],
            "seeds": list(self.design.seeds),
            "level": self.level,
            "precision": self.precision,
            "sentences": self.sentences(),
            "remarks": list(self.remarks),
            "comparisons": [asdict(comparison) for comparison in self.comparisons],
            "runs": {
                "total": len(self.rows),
                "crashed": sum(bool(row.error) for row in self.rows),
                "broken": sum(bool(row.violation) for row in self.rows),
            },
        }


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """How a comparison is to be made."""

    measures: tuple[str, ...]
    level: float = statistics.LEVEL
    precision: float = statistics.PRECISION
    most_seeds: int | None = None
    """Add seeds until all is settled, up to so many; None: the design's seeds and no more."""
    runs: Path | None = None
    """Where run folders go; none are kept if absent."""


def select_measures(asked: Sequence[str]) -> tuple[str, ...]:
    """All measures, or those asked for: by name, or by the first part of it.

    Raises:
        ValueError: if there is none of that name.
    """
    if not asked:
        return tuple(name for name in MEASURES if name not in NOT_COMPARED)
    found = list[str]()
    for name in asked:
        matching = [measure for measure in MEASURES if measure == name or measure.startswith(f"{name}.")]
        if not matching:
            raise ValueError(f"--measure {name}: {'; '.join(unknown_measure(name))}")
        found += matching
    return tuple(dict.fromkeys(found))


def run_comparison(
    design: Design, options: CompareOptions, execute: Executor, store: ResultStore, watching: ProgressFactory
) -> ComparisonResult:
    """Runs and judges; with `most_seeds`, again with more seeds until every headline is as precise as wanted."""
    while True:
        _run(design, options, execute, store, watching)
        wanted = _wanted_seeds(design, options, store) if options.most_seeds else 0
        if wanted <= len(design.seeds):
            return _judged(design, options, store)
        design = design.with_seeds(wanted)


def run_folder(runs: Path, design: Design, variant: Variant, seed: int) -> Path:
    """Where a run of a comparison lies."""
    number = design.variants.index(variant)
    plain = re.sub(r"[^A-Za-z0-9._=-]+", "_", variant.name)[:60]
    return runs / f"{number}-{plain}" / str(seed)


def to_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """A row a run, its measures as columns; runs that crashed have none."""
    table = [{"variant": row.variant, "seed": row.seed, **row.measures} for row in rows]
    return pd.DataFrame(table, columns=["variant", "seed", *MEASURES])


def _run(
    design: Design, options: CompareOptions, execute: Executor, store: ResultStore, watching: ProgressFactory
) -> None:
    # Seeds outside, variants within: whenever it is interrupted, what is there can be compared.
    tasks = [
        design.task(
            variant,
            seed,
            keep=run_folder(options.runs, design, variant, seed) if options.runs else None,
            collect=("samples",),
        )
        for seed in design.seeds
        for variant in design.variants
    ]
    missing = [task for task in tasks if task.key not in store or (task.keep and not Path(task.keep).is_dir())]
    with watching(len(missing)) as watch:
        run_all(missing, execute, store, watch)


def _judged(design: Design, options: CompareOptions, store: ResultStore) -> ComparisonResult:
    rows = list(store.rows(design.keys()))
    comparisons = statistics.compare(
        to_frame(rows), design.baseline.name, options.measures, level=options.level, precision=options.precision
    )
    return ComparisonResult(
        design, rows, comparisons, options.level, options.precision, tuple(_remarks(design, options, rows, comparisons))
    )


def _remarks(
    design: Design, options: CompareOptions, rows: Sequence[Row], comparisons: Sequence[Comparison]
) -> list[str]:
    remarks = list[str]()
    crashed, broken = [row for row in rows if row.error], [row for row in rows if row.violation]
    if crashed:
        which = f"{_which(crashed[0])}: {crashed[0].error}"
        remarks.append(f"{len(crashed)} of {len(rows)} runs crashed and are left out, the first: {which}")
    if broken:
        which = f"{_which(broken[0])}: {broken[0].violation}"
        remarks.append(f"{len(broken)} of {len(rows)} runs broke an invariant, the first: {which}")
    return [*remarks, *_on_seeds(len(design.seeds), options, comparisons)]


def _on_seeds(seeds: int, options: CompareOptions, comparisons: Sequence[Comparison]) -> list[str]:
    """Whether there were enough seeds for what one would like to claim."""
    remarks = list[str]()
    least = statistics.fewest_seeds(1, options.level)
    counted = sum(c.p_raw is not None and not c.identical for c in comparisons)
    enough = statistics.fewest_seeds(counted, options.level)
    if seeds < least:
        remarks.append(
            f"too few seeds for any claim: with {seeds}, chance alone looks like this at least one time in "
            f"{2 ** max(seeds - 1, 0)}; at least {least} are needed"
        )
    elif seeds < enough:
        remarks.append(
            f"few seeds for so many comparisons: with {seeds}, a difference in one measure alone cannot be told from "
            f"chance among {counted}; {enough} seeds can, or fewer measures (--measure)"
        )
    still = [c.seeds_to_settle for c in comparisons if c.measure in HEADLINES and c.seeds_to_settle]
    if still:
        most = max(still)
        more = f"more than {statistics.MOST_SEEDS:,}" if most >= statistics.MOST_SEEDS else f"about {most:,}"
        one = len(still) == 1
        remarks.append(
            f"{len(still)} of the main comparisons {'is' if one else 'are'} still open after {seeds} seeds; "
            f"{more} seeds would settle {'it' if one else 'them all'}"
        )
    return remarks


def _which(row: Row) -> str:
    return f"{row.variant}, seed {row.seed}"


def _wanted_seeds(design: Design, options: CompareOptions, store: ResultStore) -> int:
    """How many seeds it takes until the intervals of the headlines are as narrow as wanted.

    The end depends on how wide intervals are, never on whether a difference has become significant: who stops when he
    likes what he sees will find something in noise.
    """
    assert options.most_seeds is not None
    runs = to_frame(list(store.rows(design.keys())))
    needed = len(design.seeds)
    for variant in design.variants[1:]:
        for measure in options.measures:
            if measure in HEADLINES or len(options.measures) <= len(HEADLINES):
                needed = max(needed, _needed(*paired(runs, design.baseline.name, variant.name, measure), options))
    # An estimate from few seeds is rough: at most twice as many each time.
    return min(needed, 2 * len(design.seeds), options.most_seeds)


def _needed(base: statistics.Floats, other: statistics.Floats, options: CompareOptions) -> int:
    differences = other - base
    matters = options.precision * max(abs(base.mean()), abs(other.mean())) if len(base) > 1 else 0.0
    if not matters or half_width(differences, options.level) <= matters:
        return 0
    return math.ceil(seeds_for_width(differences, matters, options.level))


def written(study: ComparisonResult) -> bytes:
    """`comparison.json`."""
    return (json.dumps(study.as_json(), indent=2, ensure_ascii=False) + "\n").encode()
