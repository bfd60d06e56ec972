"""User traffic over time: responses, failures, delayed requests, time to first token."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise

from twin.evaluate.percentiles import percentiles
from twin.evaluate.traffic_measures import NO_ENDPOINT
from twin.report.figures.fault_strip import edges, shade, strip, strip_height
from twin.report.svg import Figure, Interaction, Plot, Scale, count_ticks, legend, path, step_path, text, zoomable
from twin.report.timeline import Timeline
from twin.report.wording import format_number
from twin.trace.lines import TrafficLine

WIDTH, PANEL, GAP = 880.0, 110.0, 62.0
EMPTY = -30.0
"""Height of a panel without data, which is a line of text without a frame."""

Minute = Sequence[TrafficLine]
"""The lines of one interval, one for each adapter."""
Minutes = Sequence[tuple[float, float, Minute]]
"""Start, end and lines of each interval."""


def _failed(lines: Minute) -> int:
    return sum(line.requests - line.ok for line in lines)


def _misrouted(lines: Minute) -> int:
    """Return the number of requests sent to a pod without the adapter; these fail."""
    return sum(min(line.misrouted, line.requests - line.ok) for line in lines)


def _unrouted(lines: Minute) -> int:
    return sum(line.causes.get(NO_ENDPOINT, 0) for line in lines)


Counts = Mapping[str, tuple[str, Callable[[Minute], float]]]
"""Counts of a panel by label, each with its colour and its function."""

ANSWERED: Counts = {"successful": ("Running", lambda lines: sum(line.ok for line in lines))}
FAILED: Counts = {
    "misrouted": ("Loading", _misrouted),
    "no endpoint": ("Pending", _unrouted),
    "other": ("Failed", lambda lines: max(_failed(lines) - _misrouted(lines) - _unrouted(lines), 0)),
}
WAITED: Counts = {
    "queued in the engine": ("one", lambda lines: sum(line.queued for line in lines)),
    "cold: weights had to be loaded again": ("two", lambda lines: sum(line.cold for line in lines)),
}
FIRST: Mapping[str, tuple[str, float]] = {"50 %": ("one", 50), "95 %": ("two", 95), "99 %": ("three", 99)}


def traffic(timeline: Timeline) -> Figure | None:
    """Draw four panels over the same time: responses, failures by cause, delayed requests, time to first token."""
    if not timeline.traffic:
        return None
    minutes = _minutes(timeline.traffic)
    x = Scale(0, timeline.end, 58, WIDTH - 28)
    top = 60.0 + strip_height(timeline.faults)
    body = strip(timeline.faults, x, 20)
    for panel in (
        _panel("Successful requests", ANSWERED, minutes, x),
        _panel("Failed requests", FAILED, minutes, x),
        _panel("Delayed requests", WAITED, minutes, x),
        partial(_first_tokens, minutes, x),
    ):
        drawn, height = panel(top)
        if height > EMPTY:
            drawn = zoomable(shade(timeline.faults, x, top, top + PANEL)) + drawn
            drawn += zoomable(edges(timeline.faults, x, top, top + PANEL))
        body += drawn
        top += height + GAP
    last = Plot(x, Scale(0, 1, top - GAP, top - GAP - PANEL))
    return Figure(
        "traffic",
        "User requests",
        _alt(timeline.traffic),
        body + last.time_axis(),
        WIDTH,
        top - GAP + 44,
        "Requests for adapters that have been Running, in the minute in which they ended. A misrouted request was sent "
        "to a pod where the adapter was not loaded. Cold and queued requests may still have succeeded.",
        Interaction(x, "run", _series(minutes)),
    )


def _series(minutes: Minutes) -> dict[str, Sequence[tuple[float, float]]]:
    """Return the curves of all panels by the name that is shown beside their value."""
    panels = (("requests", ANSWERED), ("failed", FAILED), ("delayed", WAITED))
    named = {f"{title}, {name}": count for title, counts in panels for name, (_, count) in counts.items()}
    rates = {f"{name} (per minute)": _rates(minutes, count) for name, count in named.items()}
    return {name: curve for name, curve in rates.items() if _any(curve)}


def _minutes(lines: Sequence[TrafficLine]) -> list[tuple[float, float, Minute]]:
    """Return start, end and lines of each interval, in order."""
    by_time: dict[float, list[TrafficLine]] = defaultdict(list)
    for line in lines:
        by_time[line.t].append(line)
    return [(max(t - max(line.seconds for line in part), 0.0), t, part) for t, part in sorted(by_time.items())]


def _rates(minutes: Minutes, count: Callable[[Minute], float]) -> list[tuple[float, float]]:
    """Return requests per minute as a level over time; 0 in intervals without lines."""
    curve = [(0.0, 0.0)]
    for start, end, lines in minutes:
        if curve[-1][0] > start - 1e-6:
            curve.pop()
        curve += [(start, 60 * count(lines) / (end - start) if end > start else 0.0), (end, 0.0)]
    return curve


def _panel(title: str, counts: Counts, minutes: Minutes, x: Scale) -> Callable[[float], tuple[str, float]]:
    """Return a function that draws a panel at `top` and returns it with its height; one line if it has no data."""

    def draw(top: float) -> tuple[str, float]:
        curves = {name: curve for name, (_, count) in counts.items() if _any(curve := _rates(minutes, count))}
        if not curves:
            return text(x.start, top - 24, title, "strong") + text(x.start + 200, top - 24, "none", "tick"), EMPTY
        together = max if counts is WAITED else sum  # a request may be both queued and cold
        ticks = count_ticks(max(map(together, zip(*map(_levels, curves.values()), strict=True))), 4)
        plot = Plot(x, Scale(0, ticks[-1], top + PANEL, top))
        key = legend(((counts[name][0], name) for name in curves), x.start + 200, top - 24)
        head = text(x.start, top - 24, title, "strong") + key + plot.level_axis(ticks, "per minute")
        drawn = (_lines if counts is WAITED else _stacked)(plot, curves, counts)
        return head + zoomable(drawn) + _base(plot), PANEL

    return draw


def _stacked(plot: Plot, curves: Mapping[str, list[tuple[float, float]]], counts: Counts) -> str:
    times = [t for t, _ in next(iter(curves.values()))]
    base, drawn = [0.0] * len(times), ""
    for name, curve in curves.items():
        upper = [low + level for low, level in zip(base, _levels(curve), strict=True)]
        outline = _corners(plot, times, upper) + _corners(plot, times, base)[::-1]
        drawn += path(outline, counts[name][0], closed=True)
        base = upper
    return drawn


def _lines(plot: Plot, curves: Mapping[str, list[tuple[float, float]]], counts: Counts) -> str:
    return "".join(
        path(_corners(plot, [t for t, _ in curve], _levels(curve)), f"line {counts[name][0]}")
        for name, curve in curves.items()
    )


def _any(curve: Sequence[tuple[float, float]]) -> bool:
    return any(level for _, level in curve)


def _levels(curve: Sequence[tuple[float, float]]) -> list[float]:
    return [level for _, level in curve]


def _corners(plot: Plot, times: Sequence[float], levels: Sequence[float]) -> list[tuple[float, float]]:
    return step_path([(plot.x(t), plot.y(level)) for t, level in zip(times, levels, strict=True)], plot.x.end)


def _first_tokens(minutes: Minutes, x: Scale, top: float) -> tuple[str, float]:
    points = [
        ((start + end) / 2, percentiles(values, *(share for _, share in FIRST.values())))
        for start, end, lines in minutes
        if (values := [value for line in lines for value in line.first_token_seconds])
    ]
    highest = max((spread[-1] for _, spread in points), default=0.0)
    ticks = second_ticks(highest)
    plot = Plot(x, Scale(0, ticks[-1], top + PANEL, top))
    drawn = ""
    for index, (class_, _) in enumerate(FIRST.values()):
        for stretch in _unbroken([(t, spread[index]) for t, spread in points], minutes):
            drawn += path([(plot.x(t), plot.y(value)) for t, value in stretch], f"line {class_}")
    key = legend(((class_, f"{name} within") for name, (class_, _) in FIRST.items()), x.start + 200, top - 24)
    title = text(x.start, top - 24, "Time to first token", "strong")
    return title + key + plot.level_axis(ticks, "seconds") + zoomable(drawn), PANEL


def _unbroken(points: Sequence[tuple[float, float]], minutes: Minutes) -> list[list[tuple[float, float]]]:
    """Split the points where there was no response for some time, so that no line is drawn there."""
    usual = max((end - start for start, end, _ in minutes), default=60.0)
    parts: list[list[tuple[float, float]]] = [list(points[:1])]
    for before, after in pairwise(points):
        if after[0] - before[0] > 1.6 * usual:
            parts.append([])
        parts[-1].append(after)
    return [part if len(part) > 1 else [*part, *((t + usual / 4, v) for t, v in part)] for part in parts if part]


def second_ticks(highest: float) -> list[float]:
    """Return round numbers of seconds from 0 to the first that is at least `highest`."""
    unit = 1.0 if highest > 3 else 0.1 if highest > 0.3 else 0.01 if highest > 0.03 else 0.001
    return [round(tick * unit, 6) for tick in count_ticks(highest / unit, 4)]


def _base(plot: Plot) -> str:
    return path([(plot.x.start, plot.y.start), (plot.x.end, plot.y.start)], "axis")


def _alt(lines: Sequence[TrafficLine]) -> str:
    total, answered = sum(line.requests for line in lines), sum(line.ok for line in lines)
    values = [value for line in lines for value in line.first_token_seconds]
    failures = f"{_misrouted(lines):,} misrouted, {_unrouted(lines):,} without endpoint"
    description = f"{total:,} requests, {answered:,} successful, {failures}"
    if values:
        median, p95 = percentiles(values, 50, 95)
        first_token = f"{format_number(median, 3)} s (median), {format_number(p95, 3)} s (95th percentile)"
        description += f"; time to first token {first_token}"
    return f"{description}."
