"""HTML page of a report: one file that needs no network, with the verdict first.

`render` fills `report.html.jinja` with the result and the figures. This module selects the content; the layout is in
the template and the stylesheets. The template escapes all text from the run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
import msgspec

from formats.durations import format_clock
from twin.evaluate.expectations import measure
from twin.evaluate.invariants import Violation
from twin.evaluate.run_result import RunResult, invariant_label
from twin.report.adapter_rows import AdapterRow, adapter_rows
from twin.report.svg import Figure, stylesheet
from twin.report.timeline import Timeline
from twin.trace.lines import EventLine

MOST_VIOLATIONS = 50
"""Violations that are listed; the others are only counted."""
MOST_CONTEXT = 12
"""Trace lines around one violation."""
MOST_SCENARIO = 200_000
"""Characters of the scenario; the run folder has the whole text."""
NO_MEASURES = ("name", "seed", "version")
"""Fields of the summary that identify the run."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One of the large numbers at the top of the page."""

    label: str
    value: str
    remark: str = ""


@dataclass(frozen=True, slots=True)
class ViolationView:
    """Violation as the page shows it."""

    when: str
    invariant: str
    object: str
    message: str
    context: tuple[str, ...]


def render(result: RunResult, timeline: Timeline, figures: Sequence[Figure]) -> str:
    """Return the page. The same result gives the same bytes."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(source), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    rows = adapter_rows(timeline.adapters)
    return environment.get_template("report.html.jinja").render(
        result=result,
        scenario=_cut(result.scenario, MOST_SCENARIO),
        run=result.run,
        duration=format_clock(result.run.duration),
        figures=figures,
        style=source("page.css") + stylesheet(),
        script=source("figures.js") + source("tables.js"),
        tiles=list(_tiles(result.measures, result)),
        violations=[_finding(v, result) for v in result.violations[:MOST_VIOLATIONS]],
        more_violations=max(len(result.violations) - MOST_VIOLATIONS, 0),
        contents=_contents(result, rows, figures),
        adapters=rows,
        more_adapters=len(timeline.adapters) - len(rows),
        events=_events(result),
        measures=[row for row in flatten(result.measures) if row[0] not in NO_MEASURES],
        format_value=format_value,
    )


def _contents(result: RunResult, rows: Sequence[AdapterRow], figures: Sequence[Figure]) -> list[tuple[str, str]]:
    """Return id and title of the sections that are not empty."""
    sections = (
        ("expectations", "Expectations", bool(result.expectations)),
        ("violations", "Violated invariants", bool(result.violations)),
        ("adapters", "Adapters", bool(rows)),
        *((figure.name, figure.title, True) for figure in figures),
        ("events", "Kubernetes events", any(isinstance(line, EventLine) for line in result.lines)),
        ("numbers", "All numbers", True),
        ("again", "Run it again", True),
    )
    return [(id_, title) for id_, title, present in sections if present]


def source(name: str) -> str:
    """Return a template or stylesheet of this package."""
    return resources.files("twin.report").joinpath(name).read_text(encoding="utf-8")


def format_value(value: float | str | bool | None) -> str:
    """Return a value as text: thousands separators, four significant digits, a dash for a missing value."""
    match value:
        case None:
            return "—"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            if value.is_integer() or abs(value) >= 1e4:
                return f"{value:,.0f}"
            short = f"{value:.4g}"
            return f"{value:.8g}" if float(short).is_integer() else short  # 0.99999 is not 1
    return str(value)


def flatten(measures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every number with its dotted name, as used in expectations."""
    for key, value in measures.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        elif not isinstance(value, list | tuple):
            yield f"{prefix}{key}", value


def _tiles(measures: Mapping[str, Any], result: RunResult) -> Iterator[Tile]:
    def get(name: str) -> float | None:
        return measure(measures, name)

    deleted = result.count("deleted")
    remark = f"adapters; {deleted:,} more were deleted" if deleted else "adapters"
    yield Tile("Running at the end", f"{result.count('running'):,} of {result.left:,}", remark)
    yield Tile("Time to Running", _seconds(get("time_to_running_seconds.p50")), "median")
    yield Tile("Time to Running", _seconds(get("time_to_running_seconds.p95")), "95th percentile")
    availability = get("availability")
    share = "—" if availability is None else f"{format_value(100 * availability)} %"
    yield Tile("Availability", share, "of adapter-time with a ready replica")
    attempted, succeeded = get("loads.attempted"), get("loads.succeeded")
    yield Tile(
        "Successful loads",
        f"{format_value(succeeded)} of {format_value(attempted)}",
        f"{format_value(get('pod_switches'))} pod switches",
    )
    if requests := get("traffic.requests"):
        succeeded, misrouted = get("traffic.ok") or 0, get("traffic.misrouted")
        share = f"{format_value(round(100 * succeeded / requests, 3))} %"
        yield Tile("Successful requests", share, f"of {format_value(requests)}; {format_value(misrouted)} misrouted")
        median, p95 = (_seconds(get(f"traffic.ttft_seconds.{name}")) for name in ("p50", "p95"))
        yield Tile("Time to first token", median, f"median; 95th percentile {p95}")
    yield Tile(
        "Invariant violations",
        format_value(len(result.violations)),
        f"{format_value(get('invariants.checked'))} checks",
    )


def _seconds(value: float | None) -> str:
    return "—" if value is None else f"{value:.3g} s" if value < 100 else format_clock(value)


def _finding(violation: Violation, result: RunResult) -> ViolationView:
    lines = result.lines
    around = [lines[i] for i in violation.context[:MOST_CONTEXT] if 0 <= i < len(lines)]
    return ViolationView(
        when=format_clock(violation.t),
        invariant=invariant_label(violation),
        object=violation.object,
        message=violation.message,
        context=tuple(_cut(msgspec.json.encode(line).decode()) for line in around),
    )


def _cut(text: str, most: int = 600) -> str:
    return text if len(text) <= most else text[:most] + "…"


def _events(result: RunResult) -> list[tuple[str, str, int, str]]:
    """Return the events by type and reason, warnings first: their number and the first one."""
    groups: dict[tuple[str, str], tuple[int, str]] = {}
    for line in result.lines:
        if isinstance(line, EventLine):
            times, first = groups.get(
                (line.type, line.reason), (0, f"{format_clock(line.t)} {line.object}: {line.note}")
            )
            groups[line.type, line.reason] = times + 1, first
    rows = [(type_, reason, times, _cut(first, 300)) for (type_, reason), (times, first) in groups.items()]
    return sorted(rows, key=lambda row: (row[0] != "Warning", -row[2], row[1]))
