"""The values that a setting can take: a list, or a range of numbers or durations.

`A,B,C` is a list, `2s..60s` a range, `1..8` a range of integers, `1s..60s log` a range with a logarithmic scale. Values
are text, as written after `--set PATH=`.
"""

import json
import math
from dataclasses import dataclass
from typing import Literal, Protocol

from formats.durations import format_duration, parse_duration
from formats.errors import FormatError
from twin.scenario.errors import ScenarioErrors
from twin.scenario.yaml.positions import value_of


class Dimension(Protocol):
    """The values of one setting."""

    def at(self, share: float) -> str:
        """Return the value at a position in the range, from 0 to just under 1."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """A list of values."""

    values: tuple[str, ...]

    def at(self, share: float) -> str:
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]


@dataclass(frozen=True, slots=True)
class Range:
    """An interval of numbers or durations."""

    low: float
    high: float
    kind: Literal["whole", "number", "duration"]
    log: bool = False

    def __str__(self) -> str:
        return f"{self.show(self.low)}..{self.show(self.high)}{' log' if self.log else ''}"

    def at(self, share: float) -> str:
        if self.kind == "whole" and not self.log:
            return self.show(math.floor(self.low + share * (self.high - self.low + 1)))
        if self.log:
            return self.show(self.low * (self.high / self.low) ** share)
        return self.show(self.low + share * (self.high - self.low))

    def show(self, value: float) -> str:
        """Return the value as text, with three significant digits."""
        if self.kind == "whole":
            return str(round(value))
        rounded = float(f"{value:.3g}")
        return format_duration(rounded) if self.kind == "duration" else str(rounded)


def parse_dimension(text: str) -> Dimension:
    """Parse a list or a range.

    Raises:
        ValueError: if it is neither; the message says what is allowed.
    """
    if ".." in text and "," not in text:
        return _range(text)
    try:
        values = value_of(f"[{text}]", "")
    except ScenarioErrors:
        values = None
    if not isinstance(values, list) or not values or None in values:
        raise ValueError("is neither a list nor a range; allowed: A,B,C or LOW..HIGH")
    return Choice(tuple(value if isinstance(value, str) else json.dumps(value) for value in values))


def _range(text: str) -> Range:
    body, _, log = text.strip().partition(" ")
    ends = body.split("..")
    if len(ends) != 2 or log.strip() not in ("", "log"):
        raise ValueError("is not a range; allowed: LOW..HIGH, for example 1s..60s, or 1s..60s log")
    (low, low_kind), (high, high_kind) = map(_parse_end, ends)
    if "duration" in (low_kind, high_kind) and low_kind != high_kind:
        raise ValueError("mixes a duration and a number; allowed: two of a kind, for example 1s..60s")
    kind: Literal["whole", "number", "duration"] = (
        "duration" if low_kind == "duration" else "whole" if low_kind == high_kind == "whole" else "number"
    )
    if not low < high:
        raise ValueError("has its ends in the wrong order; allowed: LOW..HIGH")
    if log and low <= 0:
        raise ValueError("starts at or below zero; allowed with log: a LOW above zero")
    return Range(low, high, kind, bool(log))


def _parse_end(text: str) -> tuple[float, Literal["whole", "number", "duration"]]:
    try:
        number = float(text)
    except ValueError:
        try:
            return parse_duration(text), "duration"
        except FormatError:
            raise ValueError(f'"{text}" is neither a number nor a duration') from None
    return number, "whole" if number.is_integer() and "." not in text else "number"
