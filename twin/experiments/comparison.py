"""`twin compare`: run all variants, compare them, and optionally add seeds until the result is conclusive."""

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
from twin.report.recommendation import recommend
from twin.report.wording import HEADLINES, sentence
from twin.scenario import MEASURES, unknown_measure

FIRST_SEEDS = 10
"""Seeds that `--seeds auto` starts with."""
NOT_COMPARED = ("invariants.checked",)
"""Measures of how much was checked; they say nothing about the operator."""

ProgressFactory = Callable[[int], AbstractContextManager[RowCallback | None]]
"""Opens a progress display for a number of runs."""


@dataclass(frozen=True, slots=True)
class ComparisonResult:
    """A finished comparison."""

    design: Design
    rows: Sequence[Row]
    comparisons: Sequence[Comparison]
    level: float
    precision: float
    remarks: tuple[str, ...]
    """Caveats for the reader, the most serious first."""

    @property
    def others(self) -> tuple[Variant, ...]:
        """All variants except the baseline."""
        return self.design.variants[1:]

    def of_variant(self, variant: str) -> list[Comparison]:
        """Return the comparisons of one variant."""
        return [comparison for comparison in self.comparisons if comparison.variant == variant]

    def sentences(self) -> dict[str, str]:
        """Return a sentence for each variant."""
        return {variant.name: sentence(self.of_variant(variant.name)) for variant in self.others}

    def recommendation(self) -> str:
        """Return which variant to use, and the condition under which that is right."""
        comparisons = {variant.name: self.of_variant(variant.name) for variant in self.others}
        choice = any(path.startswith("controller.") for path in self.design.paths)
        broken = dict.fromkeys(row.variant for row in self.broken)
        return recommend(self.design.baseline.name, comparisons, tuple(broken), choice=choice)

    @property
    def broken(self) -> list[Row]:
        """Runs that crashed or violated an invariant."""
        return [row for row in self.rows if row.error or row.violation]

    def as_json(self) -> dict[str, Any]:
        """Return what `twin compare --json` prints."""
        return {
            "scenario": self.design.baseline.scenario.name,
            "baseline": self.design.baseline.name,
            "variants": [variant.name for variant in self.others],
            "seeds": list(self.design.seeds),
            "level": self.level,
            "precision": self.precision,
            "recommendation": self.recommendation(),
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
    """Options of a comparison."""

    measures: tuple[str, ...]
    level: float = statistics.LEVEL
    precision: float = statistics.PRECISION
    max_seeds: int | None = None
    """Upper limit when seeds are added until the result is conclusive; None: only the design's seeds."""
    runs: Path | None = None
    """Folder for run folders; None: none are kept."""


def select_measures(names: Sequence[str]) -> tuple[str, ...]:
    """Return all measures, or those with these names or first parts of names.

    Raises:
        ValueError: if there is no such measure.
    """
    if not names:
        return tuple(name for name in MEASURES if name not in NOT_COMPARED)
    selected = list[str]()
    for name in names:
        matches = [measure for measure in MEASURES if measure == name or measure.startswith(f"{name}.")]
        if not matches:
            raise ValueError(f"--measure {name}: {'; '.join(unknown_measure(name))}")
        selected += matches
    return tuple(dict.fromkeys(selected))


def run_comparison(
    design: Design, options: CompareOptions, execute: Executor, store: ResultStore, progress: ProgressFactory
) -> ComparisonResult:
    """Run all variants and compare them; with `max_seeds`, add seeds until the headline measures are precise."""
    while True:
        _run(design, options, execute, store, progress)
        needed = _needed_seeds(design, options, store) if options.max_seeds else 0
        if needed <= len(design.seeds):
            return _compare(design, options, store)
        design = design.with_seeds(needed)


def run_folder(runs: Path, design: Design, variant: Variant, seed: int) -> Path:
    """Return the folder of one run of a comparison."""
    number = design.variants.index(variant)
    plain = re.sub(r"[^A-Za-z0-9._=-]+", "_", variant.name)[:60]
    return runs / f"{number}-{plain}" / str(seed)


def to_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """Return one row for each run with its measures as columns; crashed runs have no measures."""
    table = [{"variant": row.variant, "seed": row.seed, **row.measures} for row in rows]
    return pd.DataFrame(table, columns=["variant", "seed", *MEASURES])


def _run(
    design: Design, options: CompareOptions, execute: Executor, store: ResultStore, progress: ProgressFactory
) -> None:
    # Seeds are the outer loop: whenever it is interrupted, the finished runs can be compared.
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
    with progress(len(missing)) as on_row:
        run_all(missing, execute, store, on_row)


def _compare(design: Design, options: CompareOptions, store: ResultStore) -> ComparisonResult:
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
        which = f"{_run_name(crashed[0])}: {crashed[0].error}"
        remarks.append(f"{len(crashed)} of {len(rows)} runs crashed and are left out; the first is {which}")
    if broken:
        which = f"{_run_name(broken[0])}: {broken[0].violation}"
        remarks.append(f"{len(broken)} of {len(rows)} runs violated an invariant; the first is {which}")
    return [*remarks, *_seed_remarks(len(design.seeds), options, comparisons), *design.baseline.scenario.notes]


def _seed_remarks(seeds: int, options: CompareOptions, comparisons: Sequence[Comparison]) -> list[str]:
    """Return remarks on whether there are enough seeds."""
    remarks = list[str]()
    least = statistics.fewest_seeds(1, options.level)
    counted = sum(c.p_raw is not None and not c.identical for c in comparisons)
    enough = statistics.fewest_seeds(counted, options.level)
    if seeds < least:
        remarks.append(
            f"too few seeds for any significant result: with {seeds}, chance alone gives the same at least once in "
            f"{2 ** max(seeds - 1, 0)} times; at least {least} are needed"
        )
    elif seeds < enough:
        remarks.append(
            f"few seeds for {counted} comparisons: with {seeds}, a difference in a single measure cannot be "
            f"statistically significant; use {enough} seeds or fewer measures (--measure)"
        )
    open_ = [c.seeds_to_settle for c in comparisons if c.measure in HEADLINES and c.seeds_to_settle]
    if open_:
        most = max(open_)
        more = f"more than {statistics.MOST_SEEDS:,}" if most >= statistics.MOST_SEEDS else f"about {most:,}"
        remarks.append(
            f"{len(open_)} of the main comparisons {'is' if len(open_) == 1 else 'are'} inconclusive after {seeds} "
            f"seeds; {more} seeds needed"
        )
    return remarks


def _run_name(row: Row) -> str:
    return f"{row.variant}, seed {row.seed}"


def _needed_seeds(design: Design, options: CompareOptions, store: ResultStore) -> int:
    """Return the number of seeds for which the intervals of the headline measures are narrow enough.

    The rule depends on the width of the intervals, never on whether a difference has become significant: stopping at
    the first significant result would find differences in noise.
    """
    assert options.max_seeds is not None
    runs = to_frame(list(store.rows(design.keys())))
    needed = len(design.seeds)
    for variant in design.variants[1:]:
        for measure in options.measures:
            if measure in HEADLINES or len(options.measures) <= len(HEADLINES):
                needed = max(
                    needed, _seeds_for_precision(*paired(runs, design.baseline.name, variant.name, measure), options)
                )
    # An estimate from few seeds is rough, so at most double them each time.
    return min(needed, 2 * len(design.seeds), options.max_seeds)


def _seeds_for_precision(base: statistics.Floats, other: statistics.Floats, options: CompareOptions) -> int:
    differences = other - base
    matters = options.precision * max(abs(base.mean()), abs(other.mean())) if len(base) > 1 else 0.0
    if not matters or half_width(differences, options.level) <= matters:
        return 0
    return math.ceil(seeds_for_width(differences, matters, options.level))


def comparison_json(result: ComparisonResult) -> bytes:
    """Return the content of `comparison.json`."""
    return (json.dumps(result.as_json(), indent=2, ensure_ascii=False) + "\n").encode()
