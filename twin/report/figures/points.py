"""Scatter of values over a setting or over the number of a trial, with confidence intervals where there are any."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from formats.durations import format_duration, parse_duration
from formats.errors import FormatError
from twin.report.svg import (
    Figure,
    Scale,
    element,
    legend_rows,
    path,
    round_steps,
    shortened,
    step_path,
    text,
    tooltip,
    translate,
)

WIDTH, HEIGHT = 880.0, 280.0
LEFT, RIGHT, TOP, BOTTOM = 74.0, 28.0, 42.0, 46.0
WIDE = 30.0
"""Ratio of the largest to the smallest value from which an axis of a setting is logarithmic."""
MAX_LABELS = 12
"""Different values up to which each has a label of its own, if there is room."""
LABEL_GAP = 44.0
"""Distance between labels of numbers, in pixels."""
MAX_POINTS = 1_000


@dataclass(frozen=True, slots=True)
class PointMark:
    """A point: x as written by the user, y, its interval, its CSS class and tooltip."""

    x: str
    y: float
    look: str
    tooltip: str
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """Axes, legend and lines around the points.

    Attributes:
        x_title: name of the setting.
        y_title: name of the measure.
        format_y: text of a value of the measure.
        legend: CSS class and name of each kind of point.
        guides: values with a line across the figure, each with its label.
        best: points of a step line, as (x, y).
    """

    x_title: str
    y_title: str
    format_y: Callable[[float], str]
    legend: Sequence[tuple[str, str]] = ()
    guides: Sequence[tuple[float, str]] = ()
    best: Sequence[tuple[str, float]] = ()


def points(
    name: str, title: str, marks: Sequence[PointMark], frame: Frame, *, alt: str, caption: str = ""
) -> Figure | None:
    """Draw the points; None if there are none."""
    if not marks:
        return None
    marks = marks[:MAX_POINTS]
    axis = _Axis.of([mark.x for mark in marks])
    y = _y_scale(marks, frame)
    guides = "".join(
        element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(v), y2=y(v), class_="guide")
        + text(WIDTH - RIGHT, y(v) - 5, label, "unit halo", "end")
        for v, label in frame.guides
        if y.low <= v <= y.high
    )
    steps = step_path([(axis(x), y(v)) for x, v in frame.best], WIDTH - RIGHT)
    key, more = legend_rows(frame.legend, LEFT, 14, WIDTH - RIGHT)
    body = key + translate(
        text(LEFT, TOP - 12, frame.y_title, "unit")
        + _y_axis(y, frame.format_y)
        + axis.draw(frame.x_title)
        + guides
        + path(steps, "line one")
        + "".join(_mark(mark, axis, y) for mark in marks),
        more,
    )
    return Figure(name, title, alt, body, WIDTH, HEIGHT + more, caption)


def _mark(mark: PointMark, axis: "_Axis", y: Scale) -> str:
    x = axis(mark.x)
    whisker = ""
    if mark.interval is not None:
        low, high = (y(min(max(end, y.low), y.high)) for end in mark.interval)
        colour = mark.look.split()[-1]
        whisker = element("line", x1=x, x2=x, y1=low, y2=high, class_=f"line {colour}", stroke_opacity=0.5)
    dot = element("circle", cx=x, cy=y(mark.y), r=4, class_=mark.look)
    return element("g", tooltip(mark.tooltip) + whisker + dot)


def _y_scale(marks: Sequence[PointMark], frame: Frame) -> Scale:
    values = [mark.y for mark in marks]
    values += [end for mark in marks if mark.interval for end in mark.interval]
    low, high = min(values), max(values)
    span = high - low
    near = [v for v, _ in frame.guides if low - span <= v <= high + span]
    low, high = min([low, *near]), max([high, *near])
    margin = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    floor = 0.0 if min(values) >= 0 else -math.inf
    return Scale(max(low - margin, floor), high + margin, HEIGHT - BOTTOM, TOP)


def _y_axis(y: Scale, form: Callable[[float], str]) -> str:
    return "".join(
        element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y(v), y2=y(v), class_="grid")
        + text(LEFT - 7, y(v) + 4, form(v), "tick", "end")
        for v in round_steps(y.low, y.high, 5)
    )


@dataclass(frozen=True, slots=True)
class _Axis:
    """Axis of a setting: numbers, durations, or names side by side."""

    positions: Mapping[str, float]
    """The different values in order, each as a number; for names their index."""
    spoken: Callable[[float], str] | None = None
    """Text of a number; None for names."""

    @classmethod
    def of(cls, written: Sequence[str]) -> "_Axis":
        different = dict.fromkeys(written)
        for parse, spoken in ((float, "{:g}".format), (parse_duration, format_duration)):
            try:
                numbers = {text: parse(text) for text in different}
            except (ValueError, FormatError):
                continue
            return cls(dict(sorted(numbers.items(), key=lambda item: item[1])), spoken)
        return cls({text: float(i) for i, text in enumerate(different)})

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest number."""
        numbers = list(self.positions.values())
        return numbers[0], numbers[-1]

    @property
    def log(self) -> bool:
        """True if the axis is logarithmic."""
        low, high = self.ends
        return self.spoken is not None and low > 0 and high / low >= WIDE

    def __call__(self, text: str) -> float:
        return self._at(self.positions[text])

    def _at(self, value: float) -> float:
        low, high = self.ends
        if self.spoken is None:
            return LEFT + (WIDTH - RIGHT - LEFT) * (value + 0.5) / len(self.positions)
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return Scale(low, high, LEFT + 24, WIDTH - RIGHT - 24)(value) if high > low else (LEFT + WIDTH - RIGHT) / 2

    def draw(self, title: str) -> str:
        """Return the axis below the frame."""
        base, room = HEIGHT - BOTTOM, (WIDTH - LEFT - RIGHT) / len(self.positions) - 6
        ticks = [(self(value), shortened(value, room)) for value in self.positions]
        if self.spoken and (len(ticks) > MAX_LABELS or any(b - a < LABEL_GAP for (a, _), (b, _) in pairwise(ticks))):
            ticks = [(self._at(value), self.spoken(value)) for value in self._round()]
        line = element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=base, y2=base, class_="axis")
        return (
            line
            + "".join(
                element("line", x1=x, x2=x, y1=base, y2=base + 4, class_="axis")
                + text(x, base + 17, label, "tick", "middle")
                for x, label in ticks
            )
            + text(WIDTH - RIGHT, base + 35, f"{title} (logarithmic)" if self.log else title, "unit", "end")
        )

    def _round(self) -> list[float]:
        low, high = self.ends
        if not self.log:
            return round_steps(low, high, 8)
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        steps = (1, 2, 5) if len(decades) <= 4 else (1,)
        return [round(m * 10.0**d, 12) for d in decades for m in steps if low <= m * 10.0**d <= high]
