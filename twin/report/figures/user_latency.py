"""How long users waited, adapter by adapter: for the first token, and for the whole answer."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from twin.evaluate.percentiles import percentiles
from twin.report.figures.traffic import second_ticks
from twin.report.svg import Figure, Scale, element, legend, text, tooltip
from twin.report.timeline import Timeline
from twin.trace.lines import TrafficLine

WIDTH, LEFT, RIGHT, ROW, TOP = 880.0, 190.0, 316.0, 18.0, 58.0
MOST = 40
"""Adapters that a person still reads; those asked most are shown."""
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
    """A row an adapter: from half to 95 % of its requests, a dot at the half."""
    adapters = _summed(timeline.traffic)
    if not any(adapter.first for adapter in adapters):
        return None
    shown = adapters[:MOST]
    bottom = TOP + ROW * len(shown)
    middle = (LEFT + WIDTH - RIGHT) / 2
    panels = [
        ("Time to the first token", "one", "first", LEFT, middle - BETWEEN / 2),
        ("Whole answer", "two", "whole", middle + BETWEEN / 2, WIDTH - RIGHT),
    ]
    body = legend((("one", "first token"), ("two", "whole answer")), LEFT, 14)
    body += text(LEFT + 230, 14, "a dot is the median, its line goes on to the 95th percentile", "tick")
    for words, class_, name, start, end in panels:
        spreads = [_spread(getattr(adapter, name)) for adapter in shown]
        ticks = second_ticks(max(high for _, high in spreads))
        x = Scale(0, ticks[-1], start, end)
        body += _frame(words, x, ticks, bottom)
        body += "".join(
            _bar(a, s, x, TOP + i * ROW, class_) for i, (a, s) in enumerate(zip(shown, spreads, strict=True))
        )
    for i, words in enumerate(("requests", "failed", "misrouted", "cold", "queued")):
        body += text(_column(i), TOP - 22, words, "unit", "end")
    for i, adapter in enumerate(shown):
        body += _names(adapter, TOP + i * ROW)
    more = f" These are the {MOST} asked most of {len(adapters)}." if len(adapters) > MOST else ""
    return Figure(
        "user-latency", "How long users waited, by adapter", _alt(shown), body, WIDTH, bottom + 34,
        f"Of requests that were answered, from the user's side.{more}",
    )  # fmt: skip


def _summed(lines: Sequence[TrafficLine]) -> list[_Adapter]:
    """Adapters by how often they were asked."""
    found: dict[str, _Adapter] = defaultdict(lambda: _Adapter(""))
    for line in lines:
        adapter = found[line.object]
        adapter.name = line.object
        for name in ("requests", "ok", "misrouted", "cold", "queued"):
            setattr(adapter, name, getattr(adapter, name) + getattr(line, name))
        adapter.first += line.first_token_seconds
        adapter.whole += line.end_to_end_seconds
    return sorted(found.values(), key=lambda adapter: (-adapter.requests, adapter.name))


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """Median and 95th percentile; nothing if nothing was answered."""
    if not values:
        return 0.0, 0.0
    half, high = percentiles(values, 50, 95)
    return half, high


def _frame(words: str, x: Scale, ticks: Sequence[float], bottom: float) -> str:
    parts = [text(x.start, TOP - 22, words, "strong")]
    for tick in ticks:
        parts.append(element("line", x1=x(tick), x2=x(tick), y1=TOP - 6, y2=bottom, class_="grid"))
        parts.append(text(x(tick), bottom + 15, f"{tick:g}", "tick", "middle"))
    return "".join(parts) + text(x.end, bottom + 30, "seconds", "unit", "end")


def _bar(adapter: _Adapter, spread: tuple[float, float], x: Scale, y: float, class_: str) -> str:
    half, high = spread
    if not high:
        return text(x.start + 4, y + 12, "none answered", "unit")
    line = element("line", x1=x(half), x2=x(high), y1=y + 8, y2=y + 8, class_=f"line {class_}")
    dot = element("rect", x=x(half) - 3, y=y + 5, width=6, height=6, rx=3, class_=class_)
    return element("g", tooltip(f"{adapter.name}: half within {half:.3g} s, 95 % within {high:.3g} s") + line + dot)


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


def _alt(shown: Sequence[_Adapter]) -> str:
    said = (
        f"{adapter.name}: first token within {first:.3g} s, whole answer within {whole:.3g} s for half"
        for adapter in shown[:10]
        for first, whole in [(_spread(adapter.first)[0], _spread(adapter.whole)[0])]
    )
    return f"Waiting times by adapter, most asked first. {'; '.join(said)}."
