"""Page of `twin compare`: differences, their significance, and links to the runs behind them.

The page stands beside the folder of runs that it links to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from twin.evaluate.statistics import Comparison
from twin.experiments.comparison import ComparisonResult, run_folder
from twin.experiments.design import set_options
from twin.experiments.pages.template import fill
from twin.report.directions import verdict
from twin.report.figures.ecdf import Point, ecdf, samples
from twin.report.figures.forest import forest
from twin.report.svg import Figure
from twin.report.wording import HEADLINES, describe, format_measure, headlines_first, label

POOLED = {
    "time_to_running_seconds": ("Time to Running, every adapter", "seconds from creation to Running"),
    "recovery_seconds": ("Recovery, every loss", "seconds from losing a replica to having it again"),
}


@dataclass(frozen=True, slots=True)
class Section:
    """One measure: a line for each variant, and its distribution over runs."""

    measure: str
    title: str
    lines: Sequence[tuple[Comparison, str]]
    figure: Figure | None
    open: bool


@dataclass(frozen=True, slots=True)
class RunEntry:
    """One run in the list of runs."""

    variant: str
    seed: int
    outcome: str
    passed: bool
    link: str
    command: str


def render(result: ComparisonResult, file: str, runs: Path | None) -> str:
    """Return the page. `runs` is the folder of runs relative to the page; None if none were kept."""
    variants = [variant.name for variant in result.design.variants]
    main = [c for c in result.comparisons if c.measure in HEADLINES or c.significant]
    return fill(
        "comparison.html.jinja",
        result=result,
        scenario=result.design.baseline.scenario,
        recommendation=result.recommendation(),
        sentences=result.sentences(),
        forest=forest(headlines_first(main), variants),
        pooled=[drawing for name in POOLED if (drawing := _pooled(result, name)) is not None],
        sections=[_section(result, measure, runs, file) for measure in _measures(result)],
        same=[label(c) for c in _unchanged(result)],
        runs=list(_runs(result, runs, file)),
        format_measure=format_measure,
        conclusion=conclusion,
        verdict=verdict,
        probability=probability,
    )


def _measures(result: ComparisonResult) -> list[str]:
    """Return the measures that differ in any variant, headline measures first."""
    differing = [c for c in result.comparisons if c.pairs and not c.identical]
    return list(dict.fromkeys(c.measure for c in headlines_first(differing)))


def _unchanged(result: ComparisonResult) -> list[str]:
    differing = set(_measures(result))
    return list(dict.fromkeys(c.measure for c in result.comparisons if c.pairs and c.measure not in differing))


def _section(result: ComparisonResult, measure: str, runs: Path | None, file: str) -> Section:
    lines = [(c, describe(c)) for c in result.comparisons if c.measure == measure]
    series: dict[str, list[Point]] = {variant.name: [] for variant in result.design.variants}
    for run, row in zip(_runs(result, runs, file), result.rows, strict=True):
        value = row.measures.get(measure)
        if value is not None:
            series[row.variant].append(
                Point(value, f"{run.variant}, seed {run.seed}: {format_measure(measure, value)}", run.link)
            )
    drawing = ecdf(f"runs-{measure.replace('.', '-')}", f"{measure}, run by run", series, measure)
    return Section(
        measure, label(measure), lines, drawing, any(c.significant and measure in HEADLINES for c, _ in lines)
    )


def _pooled(result: ComparisonResult, name: str) -> Figure | None:
    title, unit = POOLED[name]
    pooled: dict[str, list[float]] = {variant.name: [] for variant in result.design.variants}
    for row in result.rows:
        pooled[row.variant] += row.collected.get("samples", {}).get(name, [])
    series = {variant: samples(values) for variant, values in pooled.items()}
    return ecdf(
        f"all-{name}", title, series, unit, f"All runs of a variant together, {len(result.design.seeds)} seeds."
    )


def _runs(result: ComparisonResult, runs: Path | None, file: str) -> Sequence[RunEntry]:
    entries = []
    variants = {variant.name: variant for variant in result.design.variants}
    for row in result.rows:
        variant = variants[row.variant]
        settings = set_options(row.settings)
        outcome = row.error or row.violation or ("passed" if row.passed else "an expectation failed")
        link = run_folder(runs, result.design, variant, row.seed) / "report.html" if runs and not row.error else None
        entries.append(
            RunEntry(
                variant=row.variant,
                seed=row.seed,
                outcome=outcome,
                passed=bool(row.passed),
                link=link.as_posix() if link else "",
                command=f"twin run {file} --seed {row.seed} {settings}".rstrip(),
            )
        )
    return entries


def probability(p: float | None) -> str:
    """Return a p-value as people write it."""
    return "—" if p is None else "below 0.001" if p < 0.001 else f"{p:.2g}"


def conclusion(comparison: Comparison) -> str:
    """Describe how conclusive a comparison is."""
    if comparison.p_value is None:
        return "measured in too few runs"
    if comparison.identical:
        return "identical in every run"
    if comparison.significant:
        return f"{verdict(comparison)}, statistically significant"
    if comparison.settled:
        return "too small to matter"
    if comparison.seeds_to_settle is None:
        return "inconclusive"
    return f"inconclusive; about {comparison.seeds_to_settle:,} seeds needed"
