"""Latency of user requests for each adapter: time to first token, and time of the whole response."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from twin.evaluate.percentiles import percentiles
from twin.report.figures.traffic import second_ticks
from twin.report.svg import Figure, Scale, element, legend, text, tooltip
from twin.report.timeline import Timeline
from twin.report.wording import format_number
from twin.trace.lines import TrafficLine

WIDTH, LEFT, RIGHT, ROW, TOP = 880.0, 190.0, 316.0, 18.0, 58.0
MAX_ADAPTERS = 40
"""Maximum number of rows; the adapters with the most requests are shown."""
BETWEEN = 28.0


@dataclass(slots=True)
class _Adapter:
    name: str
    requests: int = 0
    ok: int = 0
    misrouted: int = 0
    cold: int = 0
    queued: int = 0
    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)


def user_latency(timeline: Timeline) -> Figure | None:
    """Draw one row for each adapter: a dot at the median, and a line to the 95th percentile."""
    adapters = _summed(timeline.traffic)
    if not any(adapter.first for adapter in adapters):
        return None
    rows = adapters[:MAX_ADAPTERS]
    bottom = TOP + ROW * len(rows)
    middle = (LEFT + WIDTH - RIGHT) / 2
    panels = [
        ("Time to first token", "one", "first", LEFT, middle - BETWEEN / 2),
        ("Whole response", "two", "whole", middle + BETWEEN / 2, WIDTH - RIGHT),
    ]
    body = legend((("one", "first token"), ("two", "whole response")), LEFT, 14)
    body += text(LEFT + 230, 14, "dot: median, end of the line: 95th percentile", "tick")
    for title, class_, name, start, end in panels:
        spreads = [_spread(getattr(adapter, name)) for adapter in rows]
        ticks = second_ticks(max(high for _, high in spreads))
        x = Scale(0, ticks[-1], start, end)
        body += _frame(title, x, ticks, bottom)
        body += "".join(
            _bar(a, s, x, TOP + i * ROW, class_) for i, (a, s) in enumerate(zip(rows, spreads, strict=True))
        )
    for i, heading in enumerate(("requests", "failed", "misrouted", "cold", "queued")):
        body += text(_column(i), TOP - 22, heading, "unit", "end")
    for i, adapter in enumerate(rows):
        body += _names(adapter, TOP + i * ROW)
    more = (
        f" The {MAX_ADAPTERS} adapters with the most requests of {len(adapters)}."
        if len(adapters) > MAX_ADAPTERS
        else ""
    )
    return Figure(
        "user-latency", "Request latency by adapter", _alt(rows), body, WIDTH, bottom + 34,
        f"Latency of successful requests, measured by the client.{more}",
    )  # fmt: skip


def _summed(lines: Sequence[TrafficLine]) -> list[_Adapter]:
    """Return the adapters, those with the most requests first."""
    by_name: dict[str, _Adapter] = defaultdict(lambda: _Adapter(""))
    for line in lines:
        adapter = by_name[line.object]
        adapter.name = line.object
        for name in ("requests", "ok", "misrouted", "cold", "queued"):
            setattr(adapter, name, getattr(adapter, name) + getattr(line, name))
        adapter.first += line.first_token_seconds
        adapter.whole += line.end_to_end_seconds
    return sorted(by_name.values(), key=lambda adapter: (-adapter.requests, adapter.name))


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 95th percentile; zeros without values."""
    if not values:
        return 0.0, 0.0
    median, p95 = percentiles(values, 50, 95)
    return median, p95


def _frame(title: str, x: Scale, ticks: Sequence[float], bottom: float) -> str:
    parts = [text(x.start, TOP - 22, title, "strong")]
    for tick in ticks:
        parts.append(element("line", x1=x(tick), x2=x(tick), y1=TOP - 6, y2=bottom, class_="grid"))
        parts.append(text(x(tick), bottom + 15, f"{tick:g}", "tick", "middle"))
    return "".join(parts) + text(x.end, bottom + 30, "seconds", "unit", "end")


def _bar(adapter: _Adapter, spread: tuple[float, float], x: Scale, y: float, class_: str) -> str:
    median, p95 = spread
    if not p95:
        return text(x.start + 4, y + 12, "none succeeded", "unit")
    line = element("line", x1=x(median), x2=x(p95), y1=y + 8, y2=y + 8, class_=f"line {class_}")
    dot = element("rect", x=x(median) - 3, y=y + 5, width=6, height=6, rx=3, class_=class_)
    values = f"median {format_number(median, 3)} s, 95th percentile {format_number(p95, 3)} s"
    return element("g", tooltip(f"{adapter.name}: {values}") + line + dot)


def _names(adapter: _Adapter, y: float) -> str:
    short = adapter.name.partition("/")[2] or adapter.name
    short = short if len(short) <= 27 else f"{short[:26]}…"
    label = element("text", tooltip(adapter.name) + short, x=LEFT - 10, y=y + 12, class_="name", text_anchor="end")
    counts = (adapter.requests, adapter.requests - adapter.ok, adapter.misrouted, adapter.cold, adapter.queued)
    return label + "".join(
        text(_column(i), y + 12, f"{count:,}", "tick", "end") for i, count in enumerate(counts) if count
    )


def _column(number: int) -> float:
    return WIDTH - RIGHT + 70 + number * 58


def _alt(rows: Sequence[_Adapter]) -> str:
    medians = (
        f"{adapter.name}: time to first token {format_number(first, 3)} s, whole response {format_number(whole, 3)} s"
        for adapter in rows[:10]
        for first, whole in [(_spread(adapter.first)[0], _spread(adapter.whole)[0])]
    )
    return f"Median latency by adapter, those with the most requests first. {'; '.join(medians)}."
