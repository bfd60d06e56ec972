"""Timeline of each adapter: phases, loads and unloads, retry delays, pod switches."""

from collections.abc import Sequence

from formats.durations import format_clock
from twin.report.figures.fault_strip import shade, strip, strip_height
from twin.report.svg import (
    Figure,
    Interaction,
    Plot,
    Scale,
    element,
    legend,
    legend_group,
    number,
    text,
    tooltip,
    zoomable,
)
from twin.report.timeline import AdapterTimeline, Attempt, Timeline

WIDTH, LEFT, ROW = 880.0, 232.0, 22.0
MOST = 40
"""Maximum number of lanes; the most eventful adapters are shown."""
MOST_MARKS = 150
"""Maximum number of requests in a lane, to limit the size of the page."""


def adapter_timelines(timeline: Timeline) -> Figure | None:
    """Draw the most eventful adapters in the order of creation."""
    if not timeline.adapters:
        return None
    chosen = sorted(timeline.adapters, key=lambda a: (-_eventful(a), a.created, a.name))[:MOST]
    chosen.sort(key=lambda a: (a.created, a.name))
    top = 52 + strip_height(timeline.faults)
    x = Scale(0, timeline.end, LEFT, WIDTH - 28)
    plot = Plot(x, Scale(0, 1, top + ROW * len(chosen), top))
    rows = "".join(_lane(adapter, x, top + i * ROW, timeline.end) for i, adapter in enumerate(chosen))
    total = len(timeline.adapters)
    limit = f" These are the {MOST} most eventful of {total}." if total > MOST else ""
    return Figure(
        "adapter-timelines",
        "Adapter timelines",
        _alt(chosen, total),
        _key()
        + strip(timeline.faults, x, 40)
        + zoomable(shade(timeline.faults, x, top, plot.y.start) + rows)
        + plot.time_axis(),
        WIDTH,
        plot.y.start + 44,
        f"A bar is a phase, a mark is a request to an engine. Hover over a mark to see the pod and the result.{limit}",
        Interaction(x, "run"),
    )


def _eventful(adapter: AdapterTimeline) -> int:
    failures = sum(attempt.failed for attempt in adapter.attempts)
    trouble = sum(phase == "Failed" for _, phase in adapter.phases)
    return 3 * failures + 5 * trouble + 4 * len(adapter.switches) + len(adapter.phases) + len(adapter.attempts)


def _lane(adapter: AdapterTimeline, x: Scale, y: float, end: float) -> str:
    name = adapter.name.partition("/")[2] or adapter.name
    label = element(
        "text", tooltip(adapter.name) + _fitting(name), x=x.start - 8, y=y + 15, class_="name", text_anchor="end"
    )
    marks = "".join(_mark(attempt, x, y, end) for attempt in adapter.attempts[:MOST_MARKS])
    switches = "".join(
        element(
            "path",
            tooltip(f"moved to another pod at {format_clock(t)}"),
            d=f"M{number(x(t))} {number(y + 6)}l4 5l-4 5l-4 -5z",
            class_="switch",
        )
        for t in adapter.switches
    )
    return label + _bars(adapter, x, y, end) + _waits(adapter.attempts[:MOST_MARKS], x, y) + marks + switches


def _fitting(name: str, most: int = 32) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _bars(adapter: AdapterTimeline, x: Scale, y: float, end: float) -> str:
    until = adapter.deleted if adapter.deleted is not None else end
    stops = [t for t, _ in adapter.phases[1:]] + [until]
    return "".join(
        element(
            "rect",
            tooltip(f"{phase or 'not yet reconciled'} from {format_clock(start)} to {format_clock(stop)}"),
            x=x(start),
            y=y + 4,
            width=max(x(stop) - x(start), 0.75),
            height=14,
            class_=f"lane {phase or 'unseen'}",
        )
        for (start, phase), stop in zip(adapter.phases, stops, strict=True)
    )


def _mark(attempt: Attempt, x: Scale, y: float, end: float) -> str:
    left = x(attempt.start)
    middle = y + 11
    title = tooltip(f"{attempt.verb} on {attempt.pod} left {format_clock(attempt.start)}: {_outcome(attempt, end)}")
    if attempt.failed:
        cross = f"M{number(left - 3.5)} {number(middle - 3.5)}l7 7m0 -7l-7 7"
        return element("path", title, d=cross, class_="fault")
    if attempt.verb == "unload" or attempt.end is None:
        return element("circle", title, cx=left, cy=middle, r=3, class_="undone")
    return element("circle", title, cx=left, cy=middle, r=2.6, class_="done")


def _outcome(attempt: Attempt, end: float) -> str:
    if attempt.end is None:
        return f"no response by the end of the run, {end - attempt.start:.0f} s later"
    took = f"after {attempt.end - attempt.start:.1f} s"
    if attempt.ok:
        return f"done {took}"
    status = f"HTTP {attempt.status}, " if attempt.status else ""
    return f"failed {took}: {status}{attempt.error[:160] or 'no response'}"


def _waits(attempts: Sequence[Attempt], x: Scale, y: float) -> str:
    """Return dashed lines from failed loads to the next attempt on the same pod."""
    last: dict[str, Attempt] = {}
    parts = list[str]()
    for attempt in attempts:
        if attempt.verb != "load":
            continue
        before = last.get(attempt.pod)
        if before is not None and before.failed and before.end is not None:
            parts.append(element("line", x1=x(before.end), x2=x(attempt.start), y1=y + 11, y2=y + 11, class_="wait"))
        last[attempt.pod] = attempt
    return "".join(parts)


def _key() -> str:
    names = ("Pending", "Scheduled", "Loading", "Bound", "Running", "Failed")
    marks = (
        (0, element("circle", cx=LEFT + 5, cy=30, r=2.6, class_="done"), 15, "loaded"),
        (76, element("circle", cx=LEFT + 81, cy=30, r=3, class_="undone"), 15, "unload, or no response"),
        (249, element("path", d=f"M{LEFT + 249} 26.5l7 7m0 -7l-7 7", class_="fault"), 13, "failed"),
        (320, element("line", x1=LEFT + 320, x2=LEFT + 342, y1=30, y2=30, class_="wait"), 28, "waiting to retry"),
        (474, element("path", d=f"M{LEFT + 474} 25l4 5l-4 5l-4 -5z", class_="switch"), 10, "another pod"),
    )
    shapes = (element("g", mark + text(LEFT + x + gap, 34, label, "tick")) for x, mark, gap, label in marks)
    return legend(((f"lane {name}", name) for name in names), LEFT, 14) + legend_group(shapes)


def _alt(chosen: Sequence[AdapterTimeline], total: int) -> str:
    loads = [attempt for adapter in chosen for attempt in adapter.attempts if attempt.verb == "load"]
    failed = sum(attempt.failed for attempt in loads)
    switched = sum(len(adapter.switches) for adapter in chosen)
    return (
        f"Lanes of {len(chosen)} of {total} adapters over time: {len(loads)} loads were sent for them, {failed} of "
        f"those failed, and {switched} times another pod took over."
    )
