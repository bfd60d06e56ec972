"""Strip of faults above the figures over time, and the shading of their windows."""

from collections.abc import Sequence

from formats.durations import format_clock
from twin.report.svg import Scale, element, text, tooltip, zoomable
from twin.report.timeline import FaultTimeline

ROW = 17.0
"""Height of one fault in pixels."""
MOST = 12
"""Maximum number of faults with a row."""


def strip_height(faults: Sequence[FaultTimeline]) -> float:
    """Return the height of the strip in pixels, including heading and margin; 0 without faults."""
    rows = min(len(faults), MOST) + (len(faults) > MOST)
    return rows * ROW + 26 if rows else 0.0


def strip(faults: Sequence[FaultTimeline], x: Scale, top: float) -> str:
    """Return one row for each fault: bars while it was active, triangles where it occurred."""
    if not faults:
        return ""
    rows = "".join(_row(fault, x, top + 18 + i * ROW) for i, fault in enumerate(faults[:MOST]))
    rest = len(faults) - MOST
    more = text(x.start, top + 30 + MOST * ROW, f"and {rest} more", "unit") if rest > 0 else ""
    return text(x.start, top + 10, "active faults", "unit") + zoomable(rows) + more


def shade(faults: Sequence[FaultTimeline], x: Scale, top: float, bottom: float) -> str:
    """Return the shading of the windows with an active fault; draw it below the data."""
    return "".join(
        element("rect", x=x(start), y=top, width=max(x(end) - x(start), 1), height=bottom - top, class_="shade")
        for start, end in _merged(sorted(window for fault in faults for window in fault.windows))
    )


def edges(faults: Sequence[FaultTimeline], x: Scale, top: float, bottom: float) -> str:
    """Return dashed lines at the edges of the shading, for figures whose areas hide it."""
    windows = _merged(sorted(window for fault in faults for window in fault.windows))
    return "".join(
        element("line", x1=x(t), x2=x(t), y1=top, y2=bottom, class_="guide")
        for t in dict.fromkeys(t for window in windows for t in window)
        if x.low < t < x.high
    )


def _row(fault: FaultTimeline, x: Scale, y: float) -> str:
    bars = "".join(
        element(
            "rect",
            tooltip(f"{fault.kind} from {format_clock(start)} to {format_clock(end)}: {_named(sorted(fault.targets))}"),
            x=x(start),
            y=y,
            width=max(x(end) - x(start), 2),
            height=11,
            rx=2,
            class_="window",
        )
        for start, end in fault.windows
    )
    marks = "".join(
        element(
            "path",
            tooltip(f"{fault.kind} at {format_clock(t)}: {_named(targets)}"),
            d=f"M{x(t) - 5:.1f} {y:.1f}h10l-5 10z",
            class_="strike",
        )
        for t, targets in fault.occurrences
    )
    return element("g", bars + marks + _label(fault, x, y), class_="fault-row")


def _label(fault: FaultTimeline, x: Scale, y: float) -> str:
    """Return the fault's label after its last mark, or before the first if there is no space."""
    label = fault.kind + _aim(sorted(fault.targets))
    last = max([x(end) for _, end in fault.windows] + [x(t) + 5 for t, _ in fault.occurrences], default=x.start)
    first = min([x(start) for start, _ in fault.windows] + [x(t) - 5 for t, _ in fault.occurrences], default=x.start)
    if last + 7 * len(label) < x.end:
        return text(last + 7, y + 10, label, "tick")
    if first - 7 * len(label) > x.start:
        return text(first - 7, y + 10, label, "tick", "end")
    return text(first + 6, y + 10, label, "strong")


def _aim(targets: Sequence[str]) -> str:
    if len(targets) == 1:
        name = targets[0].rpartition("/")[2]
        return f" · {name if len(name) <= 24 else '…' + name[-18:]}"
    return f" · {len(targets)} targets" if targets else ""


def _named(names: Sequence[str]) -> str:
    first = ", ".join(names[:6]) or "all targets"
    return first + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _merged(windows: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    merged = list[tuple[float, float]]()
    for start, end in windows:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged
