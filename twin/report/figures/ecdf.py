"""Empirical distribution functions, one line for each series.

A point that represents a run links to that run.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twin.evaluate.percentiles import percentiles
from twin.report.figures.forest import MARGIN, colour
from twin.report.svg import (
    Figure,
    Interaction,
    Scale,
    element,
    legend_rows,
    path,
    round_steps,
    step_path,
    text,
    tooltip,
    translate,
    zoomable,
)
from twin.report.wording import format_number

WIDTH, HEIGHT = 880.0, 260.0
MAX_POINTS = 400
"""Maximum number of points of one line; more would not be visible."""


@dataclass(frozen=True, slots=True)
class Point:
    """A run's value."""

    value: float
    label: str
    link: str = ""


def ecdf(name: str, title: str, series: Mapping[str, Sequence[Point]], unit: str, caption: str = "") -> Figure | None:
    """Draw one step function for each series, in that order; None if nothing was measured."""
    values = [point.value for points in series.values() for point in points]
    if not values:
        return None
    low, high = min(values), max(values)
    margin = (high - low) * 0.04 or abs(high) * 0.05 or 1.0
    x, y = Scale(low - margin, high + margin, 58, WIDTH - 28), Scale(0, 1, HEIGHT - 46, 34)
    lines = "".join(_line(sorted(points, key=lambda p: p.value), x, y, colour(i))
                    for i, points in enumerate(series.values()) if points)  # fmt: skip
    key, more = legend_rows(((colour(i), label) for i, label in enumerate(series)), MARGIN, 12, WIDTH - MARGIN)
    body = key + translate(axes(x, y, unit) + zoomable(lines), more)
    curves = {f"{label}, %": _shares(points) for label, points in series.items() if points}
    return Figure(
        name, title, _alt(series, unit), body, WIDTH, HEIGHT + more, caption, Interaction(x, "number", curves)
    )


def _shares(points: Sequence[Point]) -> list[tuple[float, float]]:
    """Return the share of values at or below each value, in percent."""
    return [(value, 100 * (i + 1) / len(points)) for i, value in enumerate(sorted(p.value for p in points))]


def samples(values: Sequence[float]) -> list[Point]:
    """Return points without labels for `values`, thinned out to `MAX_POINTS`."""
    ordered = sorted(values)
    step = max(len(ordered) / MAX_POINTS, 1.0)
    return [Point(ordered[math.floor(i * step)], "") for i in range(math.ceil(len(ordered) / step))]


def _line(points: Sequence[Point], x: Scale, y: Scale, colour: str) -> str:
    total = len(points)
    corners = [(x(points[0].value), y(0))] + [(x(p.value), y((i + 1) / total)) for i, p in enumerate(points)]
    drawn = path(step_path(corners, x.end), f"line {colour}")
    return drawn + "".join(
        _dot(point, x(point.value), y((i + 1) / total), colour) for i, point in enumerate(points) if point.label
    )


def _dot(point: Point, x: float, y: float, colour: str) -> str:
    dot = element("circle", tooltip(point.label), cx=x, cy=y, r=4, class_=f"mark {colour}")
    return element("a", dot, href=point.link) if point.link else dot


def axes(x: Scale, y: Scale, unit: str) -> str:
    """Return the axes: shares at the left, round numbers below."""
    parts = [
        element("line", x1=x.start, x2=x.end, y1=y(share), y2=y(share), class_="grid")
        + text(x.start - 7, y(share) + 4, f"{100 * share:g} %", "tick", "end")
        for share in (0, 0.25, 0.5, 0.75, 1)
    ]
    ticks = "".join(
        element("line", x1=x(v), x2=x(v), y1=y.start, y2=y.start + 4, class_="axis")
        + text(x(v), y.start + 17, format_number(v), "tick", "middle")
        for v in round_steps(x.low, x.high, 8)
    ) + text(x.end, y.start + 33, unit, "unit", "end")
    return "".join(parts) + element("g", ticks, class_="x-axis", data_title=unit)


def _alt(series: Mapping[str, Sequence[Point]], unit: str) -> str:
    middles = (
        f"{label}: median {format_number(percentiles([p.value for p in points], 50)[0])}"
        for label, points in series.items()
        if points
    )
    return f"{unit}. {'; '.join(middles)}."
