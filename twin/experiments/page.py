"""The page of a comparison: what differs, how sure that is, and every run behind it a click away.

One HTML file that opens offline, beside the folder of runs that it links to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from twin.evaluate.statistics import Comparison
from twin.experiments.comparison import ComparisonResult, run_folder
from twin.report.figures.ecdf import Point, ecdf, samples
from twin.report.figures.forest import forest
from twin.report.page import source
from twin.report.svg import Figure, stylesheet
from twin.report.wording import HEADLINES, describe, format_number, headlines_first, label

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
class Run:
    """One run in the list at the end."""

    variant: str
    seed: int
    said: str
    good: bool
    link: str
    command: str


def render(study: ComparisonResult, file: str, runs: Path | None) -> str:
    """The page. `runs` is the folder of runs as seen from the page, None if none were kept."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(source), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    variants = [variant.name for variant in study.design.variants]
    shown = [c for c in study.comparisons if c.measure in HEADLINES or c.significant]
    return environment.get_template("comparison.html.jinja").render(
        study=study,
        scenario=study.design.baseline.scenario,
        style=source("page.css") + stylesheet() + source("comparison.css"),
        sentences=study.sentences(),
        forest=forest(headlines_first(shown), variants),
        pooled=[drawn for name in POOLED if (drawn := _pooled(study, name)) is not None],
        sections=[_section(study, measure, runs, file) for measure in _measures(study)],
        same=[label(c) for c in _unchanged(study)],
        runs=list(_runs(study, runs, file)),
        format_number=format_number,
        words=verdict,
    )


def _measures(study: ComparisonResult) -> list[str]:
    """Those that differ anywhere, headlines first."""
    differing = [c for c in study.comparisons if c.pairs and not c.identical]
    return list(dict.fromkeys(c.measure for c in headlines_first(differing)))


def _unchanged(study: ComparisonResult) -> list[str]:
    differing = set(_measures(study))
    return list(dict.fromkeys(c.measure for c in study.comparisons if c.pairs and c.measure not in differing))


def _section(study: ComparisonResult, measure: str, runs: Path | None, file: str) -> Section:
    lines = [(c, describe(c)) for c in study.comparisons if c.measure == measure]
    series: dict[str, list[Point]] = {variant.name: [] for variant in study.design.variants}
    for run, row in zip(_runs(study, runs, file), study.rows, strict=True):
        value = row.measures.get(measure)
        if value is not None:
            series[row.variant].append(
                Point(value, f"{run.variant}, seed {run.seed}: {format_number(value)}", run.link)
            )
    drawn = ecdf(f"runs-{measure.replace('.', '-')}", f"{measure}, run by run", series, measure)
    return Section(measure, label(measure), lines, drawn, any(c.significant and measure in HEADLINES for c, _ in lines))


def _pooled(study: ComparisonResult, name: str) -> Figure | None:
    title, unit = POOLED[name]
    pooled: dict[str, list[float]] = {variant.name: [] for variant in study.design.variants}
    for row in study.rows:
        pooled[row.variant] += row.collected.get("samples", {}).get(name, [])
    series = {variant: samples(values) for variant, values in pooled.items()}
    return ecdf(f"all-{name}", title, series, unit, f"All runs of a variant together, {len(study.design.seeds)} seeds.")


def _runs(study: ComparisonResult, runs: Path | None, file: str) -> Sequence[Run]:
    found = []
    variants = {variant.name: variant for variant in study.design.variants}
    for row in study.rows:
        variant = variants[row.variant]
        settings = "".join(f" --set '{path}={value}'" for path, value in row.settings.items())
        said = row.error or row.violation or ("holds" if row.passed else "an expectation does not hold")
        link = run_folder(runs, study.design, variant, row.seed) / "report.html" if runs and not row.error else None
        found.append(
            Run(
                variant=row.variant,
                seed=row.seed,
                said=said,
                good=bool(row.passed),
                link=link.as_posix() if link else "",
                command=f"twin run {file} --seed {row.seed}{settings}",
            )
        )
    return found


def verdict(comparison: Comparison) -> str:
    """How sure it is."""
    if comparison.p_value is None:
        return "too few runs measured it"
    if comparison.identical:
        return "the same in every run"
    if comparison.significant:
        return "beyond chance"
    if comparison.settled:
        return "too small to matter"
    if comparison.seeds_to_settle is None:
        return "open"
    return f"open; about {comparison.seeds_to_settle:,} seeds would settle it"
