"""Pictures as text: the few SVG elements that the report needs, with axes in units that people read.

Written by hand and not by a plotting library, because the figures then take milliseconds, weigh kilobytes, follow the
reader's light or dark theme (colours are classes, see `figures.css`) and are the same bytes on every machine.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources

from formats.durations import format_clock

FONT_WIDTH = 6.6
"""Pixels that a character of the figures' 12 px text takes, about."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing with what a person who can't see it needs to know."""

    name: str
    title: str
    alt: str
    body: str
    width: float
    height: float
    caption: str = ""

    def inline(self) -> str:
        """For a page that brings the stylesheet."""
        return (
            f'<svg class="figure" role="img" aria-labelledby="{self.name}-t {self.name}-d" '
            f'viewBox="0 0 {number(self.width)} {number(self.height)}">'
            f'<title id="{self.name}-t">{escape(self.title)}</title><desc id="{self.name}-d">{escape(self.alt)}</desc>'
            f"{self.body}</svg>"
        )

    def standalone(self) -> str:
        """A file of its own, which needs nothing else."""
        head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{number(self.width)}" height="{number(self.height)}" '
        body = self.inline().removeprefix("<svg ").replace(">", f"><style>{stylesheet()}</style>", 1)
        return f"{head}{body}\n"


def stylesheet() -> str:
    """The figures' colours, light and dark."""
    return resources.files("twin.report").joinpath("figures.css").read_text(encoding="utf-8")


def number(value: float) -> str:
    """At most two decimals, none that say nothing."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def element(tag: str, content: str = "", **attributes: str | float) -> str:
    """One element; `content` is markup. `class_` is class, `stroke_width` is stroke-width."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(v) if isinstance(v, str) else number(v)}"'
        for key, v in attributes.items()
    )
    return f"<{tag}{written}>{content}</{tag}>" if content else f"<{tag}{written}/>"


def text(x: float, y: float, words: str, class_: str = "", anchor: str = "start") -> str:
    """Words whose baseline is at `y`."""
    attributes: dict[str, str | float] = {"x": x, "y": y}
    if class_:
        attributes["class_"] = class_
    if anchor != "start":
        attributes["text_anchor"] = anchor
    return element("text", escape(words), **attributes)


def tooltip(words: str) -> str:
    """What shows when the pointer rests on an element."""
    return f"<title>{escape(words)}</title>"


def path(points: Iterable[tuple[float, float]], class_: str, *, closed: bool = False) -> str:
    """Straight lines through points."""
    line = "L".join(f"{number(x)} {number(y)}" for x, y in points)
    return element("path", d=f"M{line}{'Z' if closed else ''}", class_=class_) if line else ""


def step_path(points: Sequence[tuple[float, float]], end: float) -> list[tuple[float, float]]:
    """Points of a level that holds until the next one, drawn on to `end`."""
    corners = list[tuple[float, float]]()
    for x, y in points:
        if corners:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    return [*corners, (end, corners[-1][1])] if corners else []


@dataclass(frozen=True, slots=True)
class Scale:
    """From a quantity to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        return self.start + (value - self.low) / span * (self.end - self.start) if span else self.start


_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


def time_ticks(end: float, most: int = 10) -> list[float]:
    """Round moments from 0 to `end` seconds."""
    step = next((s for s in _TIME_STEPS if end / s <= most), math.ceil(end / most / 86400) * 86400)
    return [float(step * i) for i in range(int(end / step) + 1)]


def count_ticks(highest: float, most: int = 5) -> list[float]:
    """Round numbers from 0 to the first that is not below `highest`; whole ones, for things are counted."""
    rough = max(highest / most, 1.0)
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough - 1e-9)
    return [step * i for i in range(math.ceil(highest / step - 1e-9) + 1)] if highest else [0.0, step]


@dataclass(frozen=True, slots=True)
class Plot:
    """The frame of a figure: two scales and what is written along them."""

    x: Scale
    y: Scale

    def time_axis(self, words: str = "time since the start") -> str:
        """Ticks and labels below the frame, and what they mean unless `words` is empty."""
        long = self.x.high > 2 * 3600
        ticks = time_ticks(self.x.high)
        unit = "h:mm" if long else "m:ss" if self.x.high <= 3600 else "h:mm:ss"
        parts = [
            element("line", x1=self.x(t), x2=self.x(t), y1=self.y.start, y2=self.y.start + 4, class_="axis")
            + text(self.x(t), self.y.start + 17, format_clock(t, long=long), "tick", "middle")
            for t in ticks
        ]
        base = element("line", x1=self.x.start, x2=self.x.end, y1=self.y.start, y2=self.y.start, class_="axis")
        said = text(self.x.end, self.y.start + 33, f"{words} ({unit})", "unit", "end") if words else ""
        return "".join(parts) + base + said

    def level_axis(self, ticks: Sequence[float], words: str, form: str = "{:,g}") -> str:
        """Grid lines, labels at the left, and the unit above them."""
        parts = [
            element("line", x1=self.x.start, x2=self.x.end, y1=self.y(v), y2=self.y(v), class_="grid")
            + text(self.x.start - 7, self.y(v) + 4, form.format(v), "tick", "end")
            for v in ticks
        ]
        return "".join(parts) + text(self.x.start, self.y.end - 10, words, "unit")


def legend(entries: Iterable[tuple[str, str]], x: float, y: float) -> str:
    """Coloured squares with words, in one row from `x`; an entry is (class, words)."""
    return legend_rows(entries, x, y, math.inf)[0]


LEGEND_ROW = 17.0


def legend_rows(entries: Iterable[tuple[str, str]], x: float, y: float, end: float) -> tuple[str, float]:
    """The same in as many rows as it takes to stay left of `end`, and by how much the last is below the first.

    Words too long for a row of their own lose their middle, since names that are made of settings differ at the end.
    """
    parts, at, top = list[str](), x, y
    for class_, words in entries:
        said = _fitted(words, end - x - 15)
        if at > x and at + 15 + FONT_WIDTH * len(said) > end:
            at, y = x, y + LEGEND_ROW
        parts.append(element("rect", x=at, y=y - 9, width=10, height=10, rx=2, class_=class_))
        label = text(at + 15, y, said, "tick")
        parts.append(label if said == words else element("g", tooltip(words) + label))
        at += 15 + FONT_WIDTH * len(said) + 18
    return "".join(parts), y - top


def _fitted(words: str, width: float) -> str:
    if FONT_WIDTH * len(words) <= width:
        return words
    kept = int(width / FONT_WIDTH) - 1
    return f"{words[: kept // 2]}…{words[len(words) - (kept - kept // 2) :]}"


def translate(body: str, by: float) -> str:
    """The same, further down."""
    return element("g", body, transform=f"translate(0 {number(by)})") if by else body
