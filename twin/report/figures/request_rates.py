"""Requests of the operator per minute, to engines and to the API server."""

from collections.abc import Iterable, Mapping, Sequence

from twin.report.figures.fault_strip import shade
from twin.report.svg import Figure, Interaction, Plot, Scale, count_ticks, legend, path, step_path, text, zoomable
from twin.report.timeline import Timeline
from twin.trace.lines import Counts

WIDTH, PLOT_HEIGHT, GAP = 880.0, 120.0, 84.0

Groups = Mapping[str, Sequence[str]]
PANELS: Sequence[tuple[str, Groups]] = (
    ("Requests to engines", {"list": ["engine.list"], "load": ["engine.load"], "unload": ["engine.unload"]}),
    (
        "Requests to the API server",
        {
            "read": ["api.get", "api.list", "api.watch"],
            "write": ["api.create", "api.patch", "api.delete"],
            "refused (conflict, throttled)": ["api.conflicts", "api.throttled"],
        },
    ),
)
CLASSES = ("one", "two", "three")


def request_rates(timeline: Timeline) -> Figure | None:
    """Draw two panels over the same time axis."""
    if not timeline.counts:
        return None
    x = Scale(0, timeline.end, 58, WIDTH - 28)
    body, totals, series = "", list[str](), dict[str, Sequence[tuple[float, float]]]()
    for i, (title, groups) in enumerate(PANELS):
        top = 46 + i * (PLOT_HEIGHT + GAP)
        curves = {name: _curve(timeline.counts, keys, timeline.end) for name, keys in groups.items()}
        ticks = count_ticks(max(level for curve in curves.values() for _, level in curve), 4)
        plot = Plot(x, Scale(0, ticks[-1], top + PLOT_HEIGHT, top))
        body += text(x.start, top - 30, title, "strong")
        body += legend(zip(CLASSES, curves, strict=True), x.start + 200, top - 30)
        series |= {f"{title}: {name}": curve for name, curve in curves.items()}
        body += plot.level_axis(ticks, "per minute")
        body += zoomable(shade(timeline.faults, x, top, plot.y.start) + _lines(plot, curves.values()))
        body += plot.time_axis("time since the start" if i else "")
        totals.append(
            f"{title}: " + ", ".join(f"{_total(timeline.counts, keys):,g} {name}" for name, keys in groups.items())
        )
    summary = "; ".join(totals)
    height = 46 + len(PANELS) * PLOT_HEIGHT + (len(PANELS) - 1) * GAP + 44
    return Figure(
        "request-rates", "Operator requests", f"{summary}.", body, WIDTH, height, f"Totals: {summary}.",
        Interaction(x, "run", series),
    )  # fmt: skip


def _lines(plot: Plot, curves: Iterable[Sequence[tuple[float, float]]]) -> str:
    return "".join(
        path(step_path([(plot.x(t), plot.y(level)) for t, level in curve], plot.x.end), f"line {class_}")
        for class_, curve in zip(CLASSES, curves, strict=True)
    )


def _curve(counts: Sequence[Counts], keys: Sequence[str], end: float) -> list[tuple[float, float]]:
    """Return requests per minute; 0 where nothing was counted."""
    curve = [(0.0, 0.0)]
    for line in counts:
        start = max(line.t - line.seconds, 0.0)
        rate = sum(line.counts.get(key, 0) for key in keys) * 60 / line.seconds if line.seconds else 0.0
        if curve[-1][0] > start - 1e-6:
            curve.pop()
        curve += [(start, rate), (line.t, 0.0)]
    return curve if curve[-1][0] < end else curve[:-1]


def _total(counts: Sequence[Counts], keys: Sequence[str]) -> int:
    return sum(line.counts.get(key, 0) for line in counts for key in keys)
