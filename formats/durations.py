"""Durations as text: `250ms`, `90s`, `1m30s`, `1h30m`, `2d`.

The grammar is that of Go's `time.ParseDuration`, which Kubernetes uses, without a sign and with `d` for 24 hours.
Inside the program a duration is a `float` in seconds.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from functools import lru_cache

from formats.errors import FormatError, quoted

ALLOWED = "a duration such as 250ms, 90s, 1h30m or 2d"
_UNITS: Mapping[str, Decimal] = {
    "ns": Decimal("1e-9"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
_DURATION = re.compile(r"(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h|d))+", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h|d)", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+", re.ASCII)
_LONGEST = 400  # characters; keeps a hostile text from becoming a number of a million digits


def parse_duration(value: object, *, plain_seconds: bool = False) -> float:
    """Return the seconds of a duration.

    Zero needs no unit. Other numbers without one are seconds with `plain_seconds`, and are refused otherwise.

    Raises:
        FormatError: if `value` is not a duration.
    """
    if isinstance(value, str):
        return _parse(value.strip(), plain_seconds)
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value == 0 or (plain_seconds and 0 < value < float("inf")):
            return float(value)
        hint = f'; did you mean "{value}s"?' if 0 < value < 1e9 else ""
        raise FormatError(f"{value} is not a duration: the unit is missing{hint}", ALLOWED)
    raise FormatError(f"{quoted(value)} is not a duration", ALLOWED)


def parse_positive_duration(value: object, *, plain_seconds: bool = False) -> float:
    """Return the seconds of a duration longer than zero.

    Raises:
        FormatError: if `value` is not such a duration.
    """
    seconds = parse_duration(value, plain_seconds=plain_seconds)
    if seconds <= 0:
        raise FormatError("must be longer than 0", ALLOWED)
    return seconds


@lru_cache(maxsize=4096)
def _parse(text: str, plain_seconds: bool) -> float:
    if text.startswith("-"):
        raise FormatError(f"{quoted(text)} is negative", ALLOWED)
    if len(text) <= _LONGEST:
        if _DURATION.fullmatch(text):
            return float(sum(Decimal(number) * _UNITS[unit] for number, unit in _PART.findall(text)))
        if _NUMBER.fullmatch(text):
            if plain_seconds or not float(text):
                return float(text)
            raise FormatError(f'{quoted(text)} has no unit; did you mean "{text}s"?', ALLOWED)
    raise FormatError(f"{quoted(text)} is not a duration", ALLOWED)


def format_duration(seconds: float) -> str:
    """Return the text of a duration; parsing it gives the same float."""
    exact = Decimal(repr(seconds))
    if exact < 1 and exact:
        return f"{plain(exact * 1000)}ms"
    rest, text = exact, ""
    for unit in ("d", "h", "m"):
        size = _UNITS[unit]
        text += f"{int(rest // size)}{unit}" if rest >= size else ""
        rest %= size
    return text + (f"{plain(rest)}s" if rest or not text else "")


def format_clock(seconds: float, *, long: bool = False) -> str:
    """Return `seconds` as `m:ss`, from one hour on as `h:mm:ss`; with `long` always as `h:mm`."""
    whole = round(seconds)
    if long:
        return f"{whole // 3600}:{whole % 3600 // 60:02}"
    minutes = f"{whole // 60}:{whole % 60:02}"
    return minutes if whole < 3600 else f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}"


def format_spoken(seconds: float) -> str:
    """Return a duration for a sentence, such as `20 min` or `1 h 30 min`, to the second."""
    whole = round(seconds)
    parts = ((whole // 3600, "h"), (whole // 60 % 60, "min"), (whole % 60, "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or f"{seconds:g} s"


def plain(number: Decimal) -> str:
    """Return a number without an exponent and without trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
