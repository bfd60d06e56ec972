"""SVG elements, scales and axes for the figures of the report.

No plotting library is used: the figures take milliseconds and kilobytes, follow the light or dark theme (colours are
classes in `figures.css`), and have the same bytes on every machine.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib import resources
from typing import Literal

from formats.durations import format_clock

FONT_WIDTH = 6.6
"""Approximate width in pixels of a character at 12 px."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Linear map from a quantity to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        return self.start + (value - self.low) / span * (self.end - self.start) if span else self.start


@dataclass(frozen=True, slots=True)
class Interaction:
    """Data with which `page.js` zooms a figure and shows the values under the pointer."""

    x: Scale
    kind: Literal["run", "clock", "number"]
    """Quantity of the x axis: time since the start of the run, another time, or a number."""
    series: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    """Step functions by name, as (x, value)."""

    def attributes(self) -> str:
        """Return the data attributes of the SVG element."""
        limits = " ".join(f"{value:.8g}" for value in (self.x.low, self.x.high, self.x.start, self.x.end))
        series = [[name, _compact(points)] for name, points in self.series.items()]
        data = escape(json.dumps(series, separators=(",", ":"), ensure_ascii=False)) if series else ""
        return f' data-x="{limits}" data-kind="{self.kind}"' + (f' data-series="{data}"' if data else "")


def _compact(points: Sequence[tuple[float, float]]) -> list[float]:
    """Return x and value, alternately, of the points at which the value changes."""
    flat = list[float]()
    for x, value in points:
        rounded = float(f"{value:.4g}")
        if not flat or flat[-1] != rounded:
            flat += [round(x, 3), int(rounded) if rounded.is_integer() else rounded]
    return flat


@dataclass(frozen=True, slots=True)
class Figure:
    """Figure with its alternative text."""

    name: str
    title: str
    alt: str
    body: str
    width: float
    height: float
    caption: str = ""
    interaction: Interaction | None = None
    """None if the figure stays as it is drawn."""

    def inline(self) -> str:
        """Return SVG for a page that has the stylesheet."""
        return self._svg(self.interaction.attributes() if self.interaction else "")

    def _svg(self, attributes: str) -> str:
        return (
            f'<svg class="figure" role="img" aria-labelledby="{self.name}-t {self.name}-d" '
            f'viewBox="0 0 {number(self.width)} {number(self.height)}"{attributes}>'
            f'<title id="{self.name}-t">{escape(self.title)}</title><desc id="{self.name}-d">{escape(self.alt)}</desc>'
            f"{self.body}</svg>"
        )

    def standalone(self) -> str:
        """Return a self-contained SVG file."""
        head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{number(self.width)}" height="{number(self.height)}" '
        body = self._svg("").removeprefix("<svg ").replace(">", f"><style>{stylesheet()}</style>", 1)
        return f"{head}{body}\n"


def stylesheet() -> str:
    """Return the stylesheet of the figures, for the light and dark theme."""
    return resources.files("twin.report").joinpath("figures.css").read_text(encoding="utf-8")


def number(value: float) -> str:
    """Return a number with at most two decimals, without trailing zeros."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def element(tag: str, content: str = "", **attributes: str | float) -> str:
    """Return one element; `content` is markup. `class_` is class, `stroke_width` is stroke-width."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(v) if isinstance(v, str) else number(v)}"'
        for key, v in attributes.items()
    )
    return f"<{tag}{written}>{content}</{tag}>" if content else f"<{tag}{written}/>"


def text(x: float, y: float, label: str, class_: str = "", anchor: str = "start") -> str:
    """Return a text whose baseline is at `y`."""
    attributes: dict[str, str | float] = {"x": x, "y": y}
    if class_:
        attributes["class_"] = class_
    if anchor != "start":
        attributes["text_anchor"] = anchor
    return element("text", escape(label), **attributes)


def tooltip(label: str) -> str:
    """Return the tooltip of an element."""
    return f"<title>{escape(label)}</title>"


def path(points: Iterable[tuple[float, float]], class_: str, *, closed: bool = False) -> str:
    """Return straight lines through points."""
    line = "L".join(f"{number(x)} {number(y)}" for x, y in points)
    return element("path", d=f"M{line}{'Z' if closed else ''}", class_=class_) if line else ""


def step_path(points: Sequence[tuple[float, float]], end: float) -> list[tuple[float, float]]:
    """Return the corners of a step function through `points`, extended to `end`."""
    corners = list[tuple[float, float]]()
    for x, y in points:
        if corners:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    return [*corners, (end, corners[-1][1])] if corners else []


def zoomable(body: str) -> str:
    """Return a group whose x coordinates `page.js` maps again after a zoom."""
    return element("g", body, class_="zoomable") if body else ""


_TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


def time_ticks(end: float, most: int = 10) -> list[float]:
    """Return round times from 0 to `end` seconds."""
    step = next((s for s in _TIME_STEPS if end / s <= most), math.ceil(end / most / 86400) * 86400)
    return [float(step * i) for i in range(int(end / step) + 1)]


def count_ticks(highest: float, most: int = 5) -> list[float]:
    """Return round integers from 0 to the first that is at least `highest`."""
    rough = max(highest / most, 1.0)
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough - 1e-9)
    return [step * i for i in range(math.ceil(highest / step - 1e-9) + 1)] if highest else [0.0, step]


def round_steps(low: float, high: float, count: int) -> list[float]:
    """Return about `count` round numbers from `low` to `high`."""
    rough = (high - low) / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough - 1e-12)
    return [round(i * step, 12) for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


@dataclass(frozen=True, slots=True)
class Plot:
    """Frame of a figure: two scales and their axes."""

    x: Scale
    y: Scale

    def time_axis(self, title: str = "time since the start") -> str:
        """Return the time axis below the frame, with its title, unless that is empty."""
        long = self.x.high > 2 * 3600
        ticks = time_ticks(self.x.high)
        unit = "h:mm" if long else "m:ss" if self.x.high <= 3600 else "h:mm:ss"
        parts = [
            element("line", x1=self.x(t), x2=self.x(t), y1=self.y.start, y2=self.y.start + 4, class_="axis")
            + text(self.x(t), self.y.start + 17, format_clock(t, long=long), "tick", "middle")
            for t in ticks
        ]
        base = element("line", x1=self.x.start, x2=self.x.end, y1=self.y.start, y2=self.y.start, class_="axis")
        heading = text(self.x.end, self.y.start + 33, f"{title} ({unit})", "unit", "end") if title else ""
        return element("g", "".join(parts) + base + heading, class_="x-axis", data_title=title)

    def level_axis(self, ticks: Sequence[float], unit: str, form: str = "{:,g}") -> str:
        """Return the vertical axis: grid lines, labels at the left, and the unit above them."""
        parts = [
            element("line", x1=self.x.start, x2=self.x.end, y1=self.y(v), y2=self.y(v), class_="grid")
            + text(self.x.start - 7, self.y(v) + 4, form.format(v), "tick", "end")
            for v in ticks
        ]
        return "".join(parts) + text(self.x.start, self.y.end - 10, unit, "unit")


def legend(entries: Iterable[tuple[str, str]], x: float, y: float) -> str:
    """Return a legend in one row from `x`; an entry is (class, label)."""
    return legend_rows(entries, x, y, math.inf)[0]


LEGEND_ROW = 17.0


def legend_rows(entries: Iterable[tuple[str, str]], x: float, y: float, end: float) -> tuple[str, float]:
    """Return a legend in as many rows as fit left of `end`, and the height of the additional rows.

    Labels that are too long for a row are shortened in the middle, because names made of settings differ at the end.
    """
    parts, left, top = list[str](), x, y
    for class_, name in entries:
        fitted = shortened(name, end - x - 15)
        if left > x and left + 15 + FONT_WIDTH * len(fitted) > end:
            left, y = x, y + LEGEND_ROW
        swatch = element("rect", x=left, y=y - 9, width=10, height=10, rx=2, class_=class_)
        label = swatch + text(left + 15, y, fitted, "tick")
        parts.append(element("g", label if fitted == name else tooltip(name) + label))
        left += 15 + FONT_WIDTH * len(fitted) + 18
    return legend_group(parts), y - top


def legend_group(entries: Iterable[str]) -> str:
    """Return a legend of entries, each one element, which `page.js` arranges in rows on a narrow screen."""
    return element("g", "".join(entries), class_="legend")


def shortened(label: str, width: float) -> str:
    """Return a label that fits into `width` pixels, shortened in the middle."""
    if FONT_WIDTH * len(label) <= width:
        return label
    length = int(width / FONT_WIDTH) - 1
    return f"{label[: length // 2]}…{label[len(label) - (length - length // 2) :]}"


def translate(body: str, by: float) -> str:
    """Return a body moved down by `by` pixels."""
    return element("g", body, transform=f"translate(0 {number(by)})") if by else body
