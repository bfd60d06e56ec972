"""The values that a setting may take: a list of them, or a range of numbers or durations.

`A,B,C` is a list; `2s..60s` a range, `1..8` one of whole numbers, `1s..60s log` one in which every doubling is as
likely as the next. Values are texts, as they would stand behind `--set PATH=`.
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
    """Where one setting may go."""

    def at(self, share: float) -> str:
        """The value at a share of the way, 0 to just under 1."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """One of these."""

    values: tuple[str, ...]

    def at(self, share: float) -> str:
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]


@dataclass(frozen=True, slots=True)
class Range:
    """Anything between two ends."""

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
        """As it would be written; three digits are as fine as anybody can tell apart."""
        if self.kind == "whole":
            return str(round(value))
        rounded = float(f"{value:.3g}")
        return format_duration(rounded) if self.kind == "duration" else str(rounded)


def parse_dimension(text: str) -> Dimension:
    """What `text` describes.

    Raises:
        ValueError: if it is neither a list nor a range; says what is allowed.
    """
    if ".." in text and "," not in text:
        return _range(text)
    try:
        values = value_of(f"[{text}]", "")
    except ScenarioErrors:
        values = None
    if not isinstance(values, list) or not values or None in values:
        raise ValueError("cannot be read; allowed: values A,B,C or a range LOW..HIGH")
    return Choice(tuple(value if isinstance(value, str) else json.dumps(value) for value in values))


def _range(text: str) -> Range:
    body, _, log = text.strip().partition(" ")
    ends = body.split("..")
    if len(ends) != 2 or log.strip() not in ("", "log"):
        raise ValueError("is no range; allowed: LOW..HIGH, such as 1s..60s, or 1s..60s log")
    (low, one), (high, other) = map(_end, ends)
    if "duration" in (one, other) and one != other:
        raise ValueError("mixes a duration and a number; allowed: both of one kind, such as 1s..60s")
    kind: Literal["whole", "number", "duration"] = (
        "duration" if one == "duration" else "whole" if one == other == "whole" else "number"
    )
    if not low < high:
        raise ValueError("has its ends in the wrong order; allowed: LOW..HIGH")
    if log and low <= 0:
        raise ValueError("begins at zero, where doubling never gets away from; allowed: a LOW above zero with log")
    return Range(low, high, kind, bool(log))


def _end(text: str) -> tuple[float, Literal["whole", "number", "duration"]]:
    try:
        number = float(text)
    except ValueError:
        try:
            return parse_duration(text), "duration"
        except FormatError:
            raise ValueError(f'"{text}" is neither a number nor a duration') from None
    return number, "whole" if number.is_integer() and "." not in text else "number"
