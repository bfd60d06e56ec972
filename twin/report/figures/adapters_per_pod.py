"""Heat map of the number of adapters in each pod's engine over time."""

import base64
import struct
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from formats.durations import format_clock
from twin.report.figures.fault_strip import edges, strip, strip_height
from twin.report.svg import Figure, Interaction, Plot, Scale, element, legend_group, text, tooltip, zoomable
from twin.report.timeline import PodTimeline, Timeline

WIDTH, LEFT = 880.0, 232.0
DRAWN_ROWS = 48
"""Number of pods up to which each interval is an element with a tooltip; above it the map is an image."""
MOST_ROWS = 400
COLUMNS = 312
"""Columns of the image, one to two pixels each."""
BLUE, GREY = (33, 133, 204), (139, 148, 165)
"""Colours of the image. The opacity is the number of adapters, which suits light and dark pages."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Interval without changes on a pod."""

    start: float
    end: float
    adapters: int
    ready: bool


def adapters_per_pod(timeline: Timeline) -> Figure | None:
    """Draw one row for each pod; deeper colour means more adapters."""
    if not timeline.pods:
        return None
    pods = timeline.pods[:MOST_ROWS]
    rows = [_stretches(pod, timeline.end) for pod in pods]
    most = max((stretch.adapters for row in rows for stretch in row), default=0)
    drawn = len(pods) <= DRAWN_ROWS
    row_height = 18.0 if len(pods) <= 24 else 13.0 if drawn else max(2.0, min(6.0, 600 / len(pods)))
    top = 34 + strip_height(timeline.faults)
    x = Scale(0, timeline.end, LEFT if drawn else 58, WIDTH - 28)
    plot = Plot(x, Scale(0, 1, top + row_height * len(pods), top))
    field = (
        "".join(
            _row(pod, row, x, top + i * row_height, row_height, most)
            for i, (pod, row) in enumerate(zip(pods, rows, strict=True))
        )
        if drawn
        else _image(rows, timeline.end, plot, most)
    )
    margin = "" if drawn else _margin(pods, plot)
    return Figure(
        "adapters-per-pod",
        "Adapters loaded on each pod",
        _alt(pods, rows, timeline),
        _key(most, x.start, "held" if drawn else "mapped")
        + strip(timeline.faults, x, 22)
        + zoomable(field + edges(timeline.faults, x, top, plot.y.start))
        + margin
        + plot.time_axis(),
        WIDTH,
        plot.y.start + 44,
        _caption(timeline, len(pods)),
        Interaction(x, "run"),
    )


def _stretches(pod: PodTimeline, end: float) -> list[_Stretch]:
    until = pod.deleted if pod.deleted is not None else end
    times = sorted({pod.created, *(t for t, _ in pod.ready), *(t for t, _ in pod.loaded)})
    times = [t for t in times if t < until]
    if not times:
        return []
    row = list[_Stretch]()
    for start, stop in zip(times, [*times[1:], until], strict=True):
        count, ready = _at(pod.loaded, start), bool(_at(pod.ready, start))
        if row and (row[-1].adapters, row[-1].ready) == (count, ready):
            row[-1] = _Stretch(row[-1].start, stop, count, ready)
        else:
            row.append(_Stretch(start, stop, count, ready))
    return row


def _at(changes: Sequence[tuple[float, int]], t: float) -> int:
    """Return the value at `t`; 0 before the first change."""
    index = bisect_right(changes, t, key=lambda change: change[0])
    return int(changes[index - 1][1]) if index else 0


def _row(pod: PodTimeline, row: Sequence[_Stretch], x: Scale, y: float, height: float, most: int) -> str:
    name = pod.name.partition("/")[2] or pod.name
    cells = "".join(
        element(
            "rect",
            tooltip(f"{pod.name}, {_describe(s)}"),
            x=x(s.start),
            y=y + 1,
            width=max(x(s.end) - x(s.start), 0.5),
            height=height - 2,
            **_look(s, most),
        )
        for s in row
    )
    return text(x.start - 8, y + height / 2 + 4, _short(name), "name", "end") + cells


def _describe(stretch: _Stretch) -> str:
    ready = "ready" if stretch.ready else "not ready"
    return f"{format_clock(stretch.start)} to {format_clock(stretch.end)}: {stretch.adapters} adapters, {ready}"


def _look(stretch: _Stretch, most: int) -> dict[str, str | float]:
    if not stretch.adapters:
        return {"class_": "empty" if stretch.ready else "unready"}
    return {"class_": "held", "fill_opacity": _depth(stretch.adapters, most)}


def _depth(count: int, most: int) -> float:
    return 0.2 + 0.8 * count / most if count else 0.0


def _short(name: str, most: int = 32) -> str:
    """Shorten a name in the middle, because pods of one Deployment differ at the end."""
    return name if len(name) <= most else f"{name[: most - 19]}…{name[-18:]}"


def _image(rows: Sequence[Sequence[_Stretch]], end: float, plot: Plot, most: int) -> str:
    """Return the rows as a PNG, one pixel high each: time-weighted mean of adapters in each column."""
    pixels = b"".join(b"\0" + _pixel_row(row, end, most) for row in rows)
    data = base64.b64encode(_png(COLUMNS, len(rows), pixels)).decode()
    return element(
        "image",
        x=plot.x.start,
        y=plot.y.end,
        width=plot.x.end - plot.x.start,
        height=plot.y.start - plot.y.end,
        preserveAspectRatio="none",
        style="image-rendering:pixelated",
        href=f"data:image/png;base64,{data}",
    )


def _pixel_row(row: Sequence[_Stretch], end: float, most: int) -> bytes:
    step = end / COLUMNS
    adapters, present, ready = [0.0] * COLUMNS, [0.0] * COLUMNS, [0.0] * COLUMNS
    for s in row:
        first, last = int(s.start / step), min(int(s.end / step), COLUMNS - 1)
        for column in range(first, last + 1):
            share = min(s.end, (column + 1) * step) - max(s.start, column * step)
            present[column] += share
            adapters[column] += share * s.adapters
            ready[column] += share * s.ready
    return b"".join(_pixel(*column, most) for column in zip(adapters, present, ready, strict=True))


def _pixel(adapters: float, present: float, ready: float, most: int) -> bytes:
    if not present:
        return bytes(4)
    if not adapters:
        return bytes((*GREY, 48 if 2 * ready > present else 104))
    return bytes((*BLUE, round(255 * (0.2 + 0.8 * adapters / present / most))))


def _png(width: int, height: int, pixels: bytes) -> bytes:
    """Return an RGBA image, uncompressed so that its bytes do not depend on the zlib version."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels, 0)) + chunk(b"IEND", b"")
    )


def _margin(pods: Sequence[PodTimeline], plot: Plot) -> str:
    """Return row numbers at the left, where names would be too small."""
    every = next(n for n in (10, 20, 25, 50, 100) if len(pods) / n <= 12)
    height = (plot.y.start - plot.y.end) / len(pods)
    return "".join(
        text(plot.x.start - 7, plot.y.end + (i - 0.5) * height + 4, str(i), "tick", "end")
        for i in range(every, len(pods) + 1, every)
    )


def _key(most: int, x: float, class_: str) -> str:
    """Return the legend of the colours."""
    parts = [_entry(x, "not ready", "unready"), _entry(x + 86, "empty", "empty")]
    x += 154
    if most:
        counts = sorted({1, round(most / 2) or 1, most})
        for count in counts:
            parts.append(_entry(x, f"{count}", class_, _depth(count, most)))
            x += 15 + 7 * len(str(count)) + 14
        parts.append(text(x - 4, 14, "adapters" if most > 1 else "adapter", "tick"))
    return legend_group(parts)


def _entry(x: float, label: str, class_: str, depth: float = 1.0) -> str:
    opacity: dict[str, str | float] = {"fill_opacity": depth} if depth < 1 else {}
    swatch = element("rect", "", x=x, y=5, width=10, height=10, rx=2, class_=class_, **opacity)
    return element("g", swatch + text(x + 15, 14, label, "tick"))


def _caption(timeline: Timeline, rows: int) -> str:
    total = len(timeline.pods)
    caption = "Counted in the engines. A row covers the lifetime of its pod."
    if total > rows:
        caption += f" The first {rows} of {total} pods by name are shown."
    elif total > DRAWN_ROWS:
        caption += " Rows are pods in the order of their names; placement.parquet has all changes."
    return caption


def _alt(pods: Sequence[PodTimeline], rows: Sequence[Sequence[_Stretch]], timeline: Timeline) -> str:
    last = [row[-1].adapters for pod, row in zip(pods, rows, strict=True) if row and pod.deleted is None]
    if not last:
        return f"{len(pods)} pods over {format_clock(timeline.end)}; none at the end."
    return (
        f"{len(pods)} pods over {format_clock(timeline.end)}; {len(last)} at the end, with "
        f"{min(last)} to {max(last)} adapters each, {sum(last)} in total."
    )
