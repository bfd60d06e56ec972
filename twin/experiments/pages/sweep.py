"""Page of `twin sweep`: a figure and a table for each main measure, with the best variant and its uncertainty."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from twin.evaluate.estimates import Estimate, Floats, estimate
from twin.experiments.design import Design, quoted, set_options
from twin.experiments.execution.task import Row
from twin.experiments.pages.template import fill
from twin.report.directions import direction
from twin.report.figures.heat_map import Cell, Grid, heat_map
from twin.report.figures.points import Frame, PointMark, points
from twin.report.svg import Figure
from twin.report.wording import HEADLINES, format_measure, heading, label

MAX_ROWS = 60
"""Variants in the table of a measure, the best first."""
DASH = "—"
MAX_FAILED = 30
"""Runs in the list of those that did not pass."""


@dataclass(frozen=True, slots=True)
class Line:
    """One variant in the table of a measure."""

    settings: Sequence[str]
    value: Estimate
    difference: Estimate | None
    """Difference from the best variant, seed by seed; None for the best itself, or if there is no best."""
    passed: bool

    @property
    def close(self) -> bool:
        """True if the seeds do not distinguish the variant from the best."""
        found = self.difference
        return found is not None and found.low is not None and found.high is not None and found.low <= 0 <= found.high


@dataclass(frozen=True, slots=True)
class Section:
    """One measure over all variants."""

    measure: str
    lines: Sequence[Line]
    """The best first; in the order of the design if more is neither better nor worse."""
    figures: Sequence[Figure]
    best: Line | None

    @property
    def close(self) -> int:
        """Number of variants that the seeds do not distinguish from the best."""
        return sum(line.close for line in self.lines)


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that crashed or failed, and the command that repeats it."""

    variant: str
    seed: int
    reason: str
    command: str


@dataclass(slots=True)
class _Table:
    """Values of all variants and seeds, by measure; NaN where nothing was measured."""

    values: Mapping[str, Floats]
    passed: list[bool]
    failures: list[Failure]
    failed: int = 0


def render(design: Design, rows: Iterable[Row], file: str) -> str:
    """Return the page of a finished sweep."""
    table = _collect(design, rows, file)
    differing = [measure for measure, values in table.values.items() if _differs(values)]
    sections = [_section(design, table, measure) for measure in differing]
    return fill(
        "sweep.html.jinja",
        design=design,
        scenario=design.baseline.scenario,
        file=file,
        table=table,
        runs=len(design.variants) * len(design.seeds),
        sections=sections,
        best=[section for section in sections if section.best is not None],
        opened=[section.measure for section in sections if section.best is not None][:2],
        same=[label(measure) for measure in table.values if measure not in differing],
        most=MAX_ROWS,
        compare=_compare_command(design, sections, file),
        format_measure=format_measure,
        interval=interval,
        label=label,
        heading=heading,
    )


def interval(measure: str, value: Estimate | None, *, sign: bool = False) -> str:
    """Return a confidence interval as text; a dash for a single run."""
    if value is None or value.low is None or value.high is None:
        return DASH
    least = value.low if sign else max(value.low, 0.0)  # no measure is negative
    most = value.high if sign or measure not in _SHARES else min(value.high, 1.0)
    low, high = (format_measure(measure, end, sign=sign) for end in (least, most))
    number, _, unit = low.rpartition(" ")
    return f"{number if unit and high.endswith(f' {unit}') else low} to {high}"


def _collect(design: Design, rows: Iterable[Row], file: str) -> _Table:
    expected = [item.name for item in design.baseline.scenario.expect]
    names = list(dict.fromkeys([*HEADLINES, *expected]))
    shape = (len(design.variants), len(design.seeds))
    values = {name: np.full(shape, np.nan) for name in names}
    table = _Table(values, [True] * len(design.variants), [])
    variants = {variant.name: i for i, variant in enumerate(design.variants)}
    seeds = {seed: i for i, seed in enumerate(design.seeds)}
    for row in rows:
        at = variants[row.variant], seeds[row.seed]
        for name in names:
            value = row.measures.get(name)
            if value is not None:
                values[name][at] = value
        if not row.passed:
            table.passed[at[0]] = False
            table.failed += 1
            if len(table.failures) < MAX_FAILED:
                table.failures.append(_failure(row, file))
    return table


def _failure(row: Row, file: str) -> Failure:
    settings = set_options(row.settings)
    reason = row.error or row.violation or "an expectation failed"
    return Failure(row.variant, row.seed, reason, f"twin run {file} --seed {row.seed} {settings}".rstrip())


def _differs(values: Floats) -> bool:
    """Return true if two variants have different means."""
    measured = values[~np.isnan(values).all(axis=1)]
    return bool(measured.size) and bool(np.ptp(np.nanmean(measured, axis=1)))


def _section(design: Design, table: _Table, measure: str) -> Section:
    values = table.values[measure]
    measured = {i: found for i, row in enumerate(values) if (found := estimate(row)) is not None}
    sign = {"lower": 1, "higher": -1, "neither": 0}[direction(measure)]
    ordered = sorted(measured, key=lambda i: (sign and not table.passed[i], sign * measured[i].mean))
    best = ordered[0] if sign else None
    lines = {
        i: Line(
            settings=[design.variants[i].settings.get(path, "") for path in design.paths],
            value=measured[i],
            difference=None if best is None or i == best else estimate(values[i] - values[best]),
            passed=table.passed[i],
        )
        for i in ordered
    }
    figures = _figures(design, measure, lines, best)
    return Section(measure, list(lines.values()), figures, None if best is None else lines[best])


def _figures(design: Design, measure: str, lines: Mapping[int, Line], best: int | None) -> list[Figure]:
    """Return a heat map of a grid with two axes or more, or else a scatter for each axis."""
    name = measure.replace(".", "-")
    grid = _grid(design, measure, lines, best)
    if grid is not None:
        title = f"{heading(label(measure))}, every variant"
        drawn = heat_map(f"map-{name}", title, grid, alt=_alt(measure, lines), caption=_MAP_CAPTION)
        if drawn is not None:
            return [drawn]
    scatters = (_scatter(design.paths, i, measure, lines, best) for i in range(len(design.paths)))
    return [drawn for drawn in scatters if drawn is not None]


def _grid(design: Design, measure: str, lines: Mapping[int, Line], best: int | None) -> Grid | None:
    """Return the variants as a grid, the last axis across; None if there is one axis, or if they are no grid."""
    *down, across = design.paths
    names = {i: (", ".join(line.settings[:-1]), line.settings[-1]) for i, line in lines.items()}
    order = sorted(names)
    rows, columns = (list(dict.fromkeys(names[i][axis] for i in order)) for axis in (0, 1))
    if not down or len(rows) * len(columns) != len(design.variants):
        return None
    cells = {
        (rows.index(names[i][0]), columns.index(names[i][1])): Cell(
            line.value.mean, format_measure(measure, line.value.mean), _tooltip(design.paths, measure, line),
            _mark(i, line, best),
        )
        for i, line in lines.items()
    }  # fmt: skip
    return Grid(rows, columns, cells, f"{', '.join(down)} ↓   {across} →")


def _mark(number: int, line: Line, best: int | None) -> str:
    return "best" if number == best else "close" if line.close else ""


def _scatter(
    paths: Sequence[str], axis: int, measure: str, lines: Mapping[int, Line], best: int | None
) -> Figure | None:
    marks = [
        PointMark(
            x=line.settings[axis],
            y=line.value.mean,
            look=_LOOKS[_mark(i, line, best) or "other"],
            tooltip=_tooltip(paths, measure, line),
            interval=None if line.value.low is None or line.value.high is None else (line.value.low, line.value.high),
        )
        for i, line in sorted(lines.items())
    ]
    used = {mark.look for mark in marks}
    legend = [(look, name) for look, name in _LEGEND if look in used and best is not None]
    frame = Frame(paths[axis], label(measure), lambda value: format_measure(measure, value), legend)
    name = f"points-{axis}-{measure.replace('.', '-')}"
    return points(
        name,
        f"{heading(label(measure))} by {paths[axis]}",
        marks,
        frame,
        alt=_alt(measure, lines),
        caption=_SCATTER_CAPTION,
    )


_SHARES = ("availability", "placement.jain")
_LOOKS = {"best": "mark three", "close": "mark two", "other": "mark one"}
_LEGEND = (("mark three", "best"), ("mark two", "not distinguishable from it"), ("mark one", "other variants"))
_MAP_CAPTION = (
    "Means over the seeds; deeper is more. Outlined: the best variant; dashed: variants that the seeds do not "
    "distinguish from it."
)
_SCATTER_CAPTION = "Each point is a variant, the mean over its seeds; lines are 95 % intervals."


def _tooltip(paths: Sequence[str], measure: str, line: Line) -> str:
    settings = ", ".join(f"{path}={value}" for path, value in zip(paths, line.settings, strict=True))
    spread = interval(measure, line.value)
    return f"{settings}: {format_measure(measure, line.value.mean)}" + (f" ({spread})" if spread != DASH else "")


def _alt(measure: str, lines: Mapping[int, Line]) -> str:
    means = [line.value.mean for line in lines.values()]
    low, high = (format_measure(measure, end) for end in (min(means), max(means)))
    return f"{label(measure)} of {len(means)} variants: {low} to {high}."


def _compare_command(design: Design, sections: Sequence[Section], file: str) -> str:
    """Return the command that compares the best variant of the first measure with the baseline, with new seeds."""
    best = next((section.best for section in sections if section.best is not None), None)
    if best is None:
        return ""
    first = [design.baseline.settings.get(path, "") for path in design.paths]
    axes = [
        f"--vary {quoted(f'{path}={before},{after}')}" if before != after else set_options({path: after})
        for path, before, after in zip(design.paths, first, best.settings, strict=True)
    ]
    varied = any(axis.startswith("--vary") for axis in axes)
    return f"twin compare {file} {' '.join(axes)} --seeds auto" if varied else ""
