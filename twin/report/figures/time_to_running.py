"""Distribution of the time to Running over all adapters."""

import math
from bisect import bisect_right

from formats.durations import format_clock
from twin.evaluate.percentiles import percentiles
from twin.report.svg import Figure, Interaction, Plot, Scale, element, number, path, step_path, text, zoomable
from twin.report.timeline import Timeline

WIDTH, HEIGHT = 880.0, 300.0
LABEL_WIDTH = 150.0


def time_to_running(timeline: Timeline) -> Figure | None:
    """Draw the empirical distribution function; adapters that never ran keep it below 100 %."""
    if not timeline.adapters:
        return None
    total = len(timeline.adapters)
    times = sorted(t for adapter in timeline.adapters if (t := adapter.time_to_running) is not None)
    plot = Plot(Scale(0, max(times[-1] * 1.04 if times else 0.0, 2.0), 58, WIDTH - 28), Scale(0, 100, HEIGHT - 46, 34))
    points = [(0.0, 0.0), *_thinned(times, total, plot.x)]
    drawn = step_path([(plot.x(t), plot.y(share)) for t, share in points], plot.x.end)
    guides = _guides(plot, times, total) if times else ""
    area = path([*drawn, (plot.x.end, plot.y.start), (plot.x.start, plot.y.start)], "area", closed=True)
    never = total - len(times)
    return Figure(
        "time-to-running",
        "Time to Running",
        _alt(times, total),
        plot.level_axis([0, 25, 50, 75, 100], "share of all adapters", "{:g} %")
        + plot.time_axis("time since the adapter was created")
        + zoomable(area + guides + path(drawn, "line one")),
        WIDTH,
        HEIGHT,
        f"From the creation of a ModelAdapter to its first Running; {total} adapters."
        + _remark(never, len(times), total),
        Interaction(plot.x, "clock", {"Running, %": points}),
    )


def _remark(never: int, ran: int, total: int) -> str:
    if not never:
        return ""
    remark = f" {never} never ran, so the line ends at {_share(ran, total)}"
    return f"{remark}; median and 95th percentile are of the others." if ran else f"{remark}."


def _thinned(times: list[float], total: int, x: Scale) -> list[tuple[float, float]]:
    """Return the last share of each half pixel."""
    last = {round(x(t) * 2): (t, 100 * (i + 1) / total) for i, t in enumerate(times)}
    return list(last.values())


def _guides(plot: Plot, times: list[float], total: int) -> str:
    """Return guides at the summary's median and 95th percentile."""
    median, p95 = percentiles(times, 50, 95)
    close = 14.0 if abs(plot.x(p95) - plot.x(median)) < LABEL_WIDTH else 0.0
    return _guide(plot, times, total, median, "median", close) + _guide(plot, times, total, p95, "95th percentile")


def _guide(plot: Plot, times: list[float], total: int, t: float, name: str, down: float = 0.0) -> str:
    """Return a dashed line from a time up to the curve, and its label, moved down by `down` pixels."""
    x, y = plot.x(t), plot.y(100 * bisect_right(times, t) / total)
    dashes = element("path", d=f"M{number(x)} {number(plot.y.start)}V{number(y)}", class_="guide")
    dot = element("circle", cx=x, cy=y, r=3.5, class_="held")
    right = x < plot.x.end - LABEL_WIDTH
    position = (x + 9, y + 16 + down) if right else (x - 9, y - 8 + down)  # off the curve
    label = text(*position, f"{name} {_spoken(t)}", "strong", "start" if right else "end")
    return dashes + dot + label


def _spoken(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else format_clock(seconds)


def _share(part: int, total: int) -> str:
    """Return a percentage, rounded down so that only all is 100 %."""
    return f"{math.floor(1000 * part / total) / 10:g} %"


def _alt(times: list[float], total: int) -> str:
    if not times:
        return f"None of {total} adapters ever ran."
    (middle,) = percentiles(times, 50)
    return (
        f"{len(times)} of {total} adapters ran; the fastest after {_spoken(times[0])}, the median "
        f"{_spoken(middle)}, the slowest after {_spoken(times[-1])}."
    )
