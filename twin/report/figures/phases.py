"""Number of adapters in each phase over time."""

from collections.abc import Sequence

from formats.durations import format_clock
from twin.report.figures.fault_strip import edges, shade, strip, strip_height
from twin.report.svg import Figure, Interaction, Plot, Scale, count_ticks, legend, path, step_path, time_ticks, zoomable
from twin.report.timeline import AdapterTimeline, Timeline, steps

WIDTH, PLOT_HEIGHT = 880.0, 230.0
BOTTOM_UP = ("Running", "Bound", "Loading", "Scheduled", "Pending", "Failed", "")
"""Stacking order; the empty phase is an adapter that has not been reconciled yet."""


def phases(timeline: Timeline) -> Figure | None:
    """Draw a stacked area, with faults above and as shading."""
    if not timeline.adapters:
        return None
    levels = _levels(timeline.adapters, timeline.end)
    highest = max(sum(row) for _, row in levels)
    top = 46 + strip_height(timeline.faults)
    ticks = count_ticks(highest)
    x = Scale(0, timeline.end, 58, WIDTH - 28)
    plot = Plot(x, Scale(0, ticks[-1], top + PLOT_HEIGHT, top))
    drawn = _thinned(levels, x)
    present = [i for i, _ in enumerate(BOTTOM_UP) if any(row[i] for _, row in levels)]
    body = (
        strip(timeline.faults, x, 26)
        + zoomable(shade(timeline.faults, x, top, plot.y.start))
        + plot.level_axis(ticks, "adapters")
        + zoomable("".join(_area(plot, drawn, i) for i in present) + edges(timeline.faults, x, top, plot.y.start))
        + plot.time_axis()
        + legend(((_class(BOTTOM_UP[i]), _name(i)) for i in present), x.start, 14)
    )
    return Figure(
        "phases",
        "Adapters by phase",
        _alt(levels, timeline),
        body,
        WIDTH,
        plot.y.start + 44,
        "Phases as in kubectl get modeladapters, stacked. Dashed lines mark the start and end of faults.",
        Interaction(x, "run", {_name(i): [(t, row[i]) for t, row in drawn] for i in present}),
    )


def _name(index: int) -> str:
    return BOTTOM_UP[index] or "not yet reconciled"


def _class(phase: str) -> str:
    return phase or "unseen"


Level = tuple[float, list[float]]


def _levels(adapters: Sequence[AdapterTimeline], end: float) -> list[Level]:
    """Return the number of adapters in each phase after each change."""
    changes: dict[str, list[tuple[float, float]]] = {phase: [] for phase in BOTTOM_UP}
    for adapter in adapters:
        stops = [t for t, _ in adapter.phases[1:]] + [adapter.deleted if adapter.deleted is not None else end + 1]
        for (start, phase), stop in zip(adapter.phases, stops, strict=True):
            row = changes.get(phase, changes[""])
            row += [(start, 1.0), (stop, -1.0)]
    curves = {phase: steps(row) for phase, row in changes.items()}
    moments = sorted({0.0, end, *(t for curve in curves.values() for t, _ in curve if t <= end)})
    rows = list[Level]()
    at = dict.fromkeys(BOTTOM_UP, 0)
    for t in moments:
        for phase, curve in curves.items():
            while at[phase] < len(curve) and curve[at[phase]][0] <= t:
                at[phase] += 1
        rows.append((t, [curve[at[phase] - 1][1] if at[phase] else 0.0 for phase, curve in curves.items()]))
    return rows


def _area(plot: Plot, levels: Sequence[Level], index: int) -> str:
    """Return the band of one phase."""
    upper, lower = list[tuple[float, float]](), list[tuple[float, float]]()
    for t, row in levels:
        base = sum(row[:index])
        lower.append((plot.x(t), plot.y(base)))
        upper.append((plot.x(t), plot.y(base + row[index])))
    outline = step_path(upper, plot.x.end) + step_path(lower, plot.x.end)[::-1]
    return path(outline, _class(BOTTOM_UP[index]), closed=True)


def _thinned(levels: Sequence[Level], x: Scale) -> list[Level]:
    """Return the last level of each half pixel."""
    last = {round(x(t) * 2): (t, row) for t, row in levels}
    return list(last.values())


def _alt(levels: Sequence[Level], timeline: Timeline) -> str:
    samples = [levels[max(i for i, (t, _) in enumerate(levels) if t <= tick)] for tick in time_ticks(timeline.end, 4)]
    counts = (
        f"samples {format_clock(t)} "
        + (", ".join(f"{row[i]:g} {p or 'unseen'}" for i, p in enumerate(BOTTOM_UP) if row[i]) or "none")
        for t, row in samples
    )
    return f"Adapters by phase: {'; '.join(counts)}."
