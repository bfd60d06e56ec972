"""What users got, minute by minute: answers and failures, who waited, how long the first token took."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise

from twin.evaluate.percentiles import percentiles
from twin.evaluate.traffic_measures import NO_ENDPOINT
from twin.report.figures.fault_strip import edges, shade, strip, strip_height
from twin.report.svg import Figure, Plot, Scale, count_ticks, legend, path, step_path, text
from twin.report.timeline import Timeline
from twin.trace.lines import TrafficLine

WIDTH, PANEL, GAP = 880.0, 110.0, 62.0
EMPTY = -30.0
"""Of a panel in which there is nothing: a line of text, no frame."""

Minute = Sequence[TrafficLine]
"""All lines of one moment: an adapter each."""
Minutes = Sequence[tuple[float, float, Minute]]
"""With their start and end."""


def _failed(lines: Minute) -> int:
    return sum(line.requests - line.ok for line in lines)


def _astray(lines: Minute) -> int:
    """Sent to a pod without the adapter; such a request fails."""
    return sum(min(line.misrouted, line.requests - line.ok) for line in lines)


def _unrouted(lines: Minute) -> int:
    return sum(line.causes.get(NO_ENDPOINT, 0) for line in lines)


Counts = Mapping[str, tuple[str, Callable[[Minute], float]]]
"""What is counted: words, colour, and how."""

ANSWERED: Counts = {"answered": ("Running", lambda lines: sum(line.ok for line in lines))}
FAILED: Counts = {
    "misrouted": ("Loading", _astray),
    "no endpoint": ("Pending", _unrouted),
    "otherwise": ("Failed", lambda lines: max(_failed(lines) - _astray(lines) - _unrouted(lines), 0)),
}
WAITED: Counts = {
    "queued in the engine": ("one", lambda lines: sum(line.queued for line in lines)),
    "cold: weights had to be read again": ("two", lambda lines: sum(line.cold for line in lines)),
}
FIRST: Mapping[str, tuple[str, float]] = {"half": ("one", 50), "95 %": ("two", 95), "99 %": ("three", 99)}


def traffic(timeline: Timeline) -> Figure | None:
    """Four panels over the same time: answers, failures by cause, those that waited, time to the first token."""
    if not timeline.traffic:
        return None
    minutes = _minutes(timeline.traffic)
    x = Scale(0, timeline.end, 58, WIDTH - 28)
    top = 60.0 + strip_height(timeline.faults)
    body = strip(timeline.faults, x, 20)
    for panel in (
        _panel("Requests answered", ANSWERED, minutes, x),
        _panel("Requests that failed", FAILED, minutes, x),
        _panel("Requests that waited", WAITED, minutes, x),
        partial(_first_tokens, minutes, x),
    ):
        drawn, height = panel(top)
        if height > EMPTY:
            drawn = shade(timeline.faults, x, top, top + PANEL) + drawn + edges(timeline.faults, x, top, top + PANEL)
        body += drawn
        top += height + GAP
    last = Plot(x, Scale(0, 1, top - GAP, top - GAP - PANEL))
    return Figure(
        "traffic",
        "What users got",
        _alt(timeline.traffic),
        body + last.time_axis(),
        WIDTH,
        top - GAP + 44,
        "Requests for adapters that have run once, minute by minute, by when they ended. Misrouted is what was sent to "
        "a pod where the adapter was not loaded; cold and queued requests may well have been answered.",
    )


def _minutes(lines: Sequence[TrafficLine]) -> list[tuple[float, float, Minute]]:
    """Start, end and lines of each stretch of time that was told, in order."""
    told: dict[float, list[TrafficLine]] = defaultdict(list)
    for line in lines:
        told[line.t].append(line)
    return [(max(t - max(line.seconds for line in part), 0.0), t, part) for t, part in sorted(told.items())]


def _rates(minutes: Minutes, count: Callable[[Minute], float]) -> list[tuple[float, float]]:
    """Requests a minute as a level over time; 0 where nothing was told."""
    curve = [(0.0, 0.0)]
    for start, end, lines in minutes:
        if curve[-1][0] > start - 1e-6:
            curve.pop()
        curve += [(start, 60 * count(lines) / (end - start) if end > start else 0.0), (end, 0.0)]
    return curve


def _panel(words: str, counts: Counts, minutes: Minutes, x: Scale) -> Callable[[float], tuple[str, float]]:
    """Draws a panel at a height, and says how high it is: one line if there is nothing in it."""

    def draw(top: float) -> tuple[str, float]:
        curves = {name: curve for name, (_, count) in counts.items() if _any(curve := _rates(minutes, count))}
        if not curves:
            return text(x.start, top - 24, words, "strong") + text(x.start + 200, top - 24, "none", "tick"), EMPTY
        together = max if counts is WAITED else sum  # a request may be both queued and cold
        ticks = count_ticks(max(map(together, zip(*map(_levels, curves.values()), strict=True))), 4)
        plot = Plot(x, Scale(0, ticks[-1], top + PANEL, top))
        key = legend(((counts[name][0], name) for name in curves), x.start + 200, top - 24)
        head = text(x.start, top - 24, words, "strong") + key + plot.level_axis(ticks, "a minute")
        drawn = (_lines if counts is WAITED else _stacked)(plot, curves, counts)
        return head + drawn + _base(plot), PANEL

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
    for place, (class_, _) in enumerate(FIRST.values()):
        for stretch in _unbroken([(t, spread[place]) for t, spread in points], minutes):
            drawn += path([(plot.x(t), plot.y(value)) for t, value in stretch], f"line {class_}")
    key = legend(((class_, f"{name} within") for name, (class_, _) in FIRST.items()), x.start + 200, top - 24)
    words = text(x.start, top - 24, "Time to the first token", "strong")
    return words + key + plot.level_axis(ticks, "seconds") + drawn, PANEL


def _unbroken(points: Sequence[tuple[float, float]], minutes: Minutes) -> list[list[tuple[float, float]]]:
    """Points in stretches: where nothing was answered for a while there is no line."""
    usual = max((end - start for start, end, _ in minutes), default=60.0)
    parts: list[list[tuple[float, float]]] = [list(points[:1])]
    for before, after in pairwise(points):
        if after[0] - before[0] > 1.6 * usual:
            parts.append([])
        parts[-1].append(after)
    return [part if len(part) > 1 else [*part, *((t + usual / 4, v) for t, v in part)] for part in parts if part]


def second_ticks(highest: float) -> list[float]:
    """Round seconds, or parts of one."""
    unit = 1.0 if highest > 3 else 0.1 if highest > 0.3 else 0.01 if highest > 0.03 else 0.001
    return [round(tick * unit, 6) for tick in count_ticks(highest / unit, 4)]


def _base(plot: Plot) -> str:
    return path([(plot.x.start, plot.y.start), (plot.x.end, plot.y.start)], "axis")


def _alt(lines: Sequence[TrafficLine]) -> str:
    total, answered = sum(line.requests for line in lines), sum(line.ok for line in lines)
    values = [value for line in lines for value in line.first_token_seconds]
    astray = f"{_astray(lines):,} misrouted, {_unrouted(lines):,} without endpoint"
    said = f"{total:,} requests, {answered:,} answered, {astray}"
    if values:
        half, most = percentiles(values, 50, 95)
        said += f"; first token within {half:.3g} s for half of those answered, {most:.3g} s for 95 %"
    return f"{said}."
