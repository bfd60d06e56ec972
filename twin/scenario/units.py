"""Durations, sizes, rates and bandwidths as people write them: `1h30m`, `80MiB`, `4/min`, `2Gbit/s`.

Inside they are plain floats in seconds, bytes, events a second and bytes a second. What is written back parses to
the very same float, so that a resolved scenario is the same scenario. Each type comes as a pydantic annotation.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from twin.scenario.errors import Path

DURATION_UNITS = {"us": "0.000001", "ms": "0.001", "s": "1", "m": "60", "h": "3600", "d": "86400"}
SIZE_UNITS = {
    "B": "1",
    **{f"{letter}iB": str(1024**power) for power, letter in enumerate("KMGT", 1)},
    **{f"{letter}i": str(1024**power) for power, letter in enumerate("KMGT", 1)},
    **{f"{letter}B": str(1000**power) for power, letter in enumerate("kMGT", 1)},
}
RATE_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
BANDWIDTH_UNITS = {
    **{f"{prefix}bit/s": Decimal(1000**power) / 8 for power, prefix in enumerate(["", "k", "M", "G", "T"])},
    **{f"{unit}/s": Decimal(bytes_) for unit, bytes_ in SIZE_UNITS.items() if unit.endswith("B")},
}

_NUMBER = r"(\d+(?:\.\d+)?)"


def value_error(message: str, allowed: str = "", at: Path = (), *, key: bool = False) -> PydanticCustomError:
    """What a validator raises: `at` leads from the validated value to the part of it (or the `key`) that is wrong."""
    context = {"message": message, "allowed": allowed, "at": list(at), "key": key}
    return PydanticCustomError("scenario", "{message}", context)


def _shown(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else f"{value}".lower() if isinstance(value, bool) else str(value)


def duration(value: object) -> float:
    """Seconds of `250ms`, `90s`, `1h30m`, `2d`; a bare 0 needs no unit."""
    allowed = "allowed: a duration such as 250ms, 90s, 1h30m or 2d"
    if isinstance(value, int | float) and not isinstance(value, bool) and value == 0:
        return 0.0
    text = value.strip() if isinstance(value, str) else ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        hint = f'did you mean "{value}s"? ' if value == value and 0 < value < 1e9 else ""
        raise value_error(f"{_shown(value)} is no duration: the unit is missing", hint + allowed)
    if text.startswith("-"):
        raise value_error(f"{_shown(value)} is negative", allowed)
    pattern = rf"(?:{_NUMBER}(us|ms|s|m|h|d))"
    if not re.fullmatch(f"{pattern}+", text) or len(text) > 400:
        raise value_error(f"{_shown(value)} is no duration", allowed)
    return float(sum(Decimal(number) * Decimal(DURATION_UNITS[unit]) for number, unit in re.findall(pattern, text)))


def positive_duration(value: object) -> float:
    """A duration above zero."""
    seconds = duration(value)
    if seconds <= 0:
        raise value_error("is zero", "allowed: a duration above zero")
    return seconds


def show_duration(seconds: float) -> str:
    """The text of a duration, which parses to the same float."""
    exact = Decimal(repr(seconds))
    if exact < 1 and exact:
        return f"{_plain(exact * 1000)}ms"
    rest, parts = exact, ""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        parts += f"{int(rest // size)}{unit}" if rest >= size else ""
        rest %= size
    return parts + (f"{_plain(rest)}s" if rest or not parts else "")


def size(value: object) -> float:
    """Bytes of `80MiB`, `8GiB`, `1GB`, `8Gi`."""
    return _measured(value, {unit: Decimal(factor) for unit, factor in SIZE_UNITS.items()}, "size", "80MiB or 1GB")


def show_size(value: float) -> str:
    """The text of a size, which parses to the same float."""
    return _scaled(value, ["TiB", "GiB", "MiB", "KiB"], {unit: Decimal(f) for unit, f in SIZE_UNITS.items()}, "B")


def bandwidth(value: object) -> float:
    """Bytes a second of `2Gbit/s`, `250MB/s`."""
    return _measured(value, BANDWIDTH_UNITS, "bandwidth", "2Gbit/s or 250MB/s")


def show_bandwidth(value: float) -> str:
    """The text of a bandwidth, which parses to the same float."""
    return _scaled(value, ["Gbit/s", "Mbit/s", "kbit/s"], BANDWIDTH_UNITS, "B/s")


def rate(value: object) -> float:
    """Events a second of `4/min`, `20/s`, `3/h`."""
    match = re.fullmatch(rf"{_NUMBER}\s*/\s*(s|min|h|d)", value.strip()) if isinstance(value, str) else None
    if match is None:
        raise value_error(f"{_shown(value)} is no rate", "allowed: a rate such as 20/s, 4/min or 3/h")
    number, unit = Decimal(match[1]), match[2]
    if not number:
        raise value_error("is zero", "allowed: a rate above zero")
    return float(number / RATE_UNITS[unit])


def show_rate(per_second: float) -> str:
    """The text of a rate, which parses to the same float."""
    for unit in RATE_UNITS:
        count = Decimal(repr(round(per_second * RATE_UNITS[unit], 9)))
        text = f"{_plain(count)}/{unit}"
        if count == count.to_integral_value() and count and rate(text) == per_second:
            return text
    return f"{_plain(Decimal(repr(per_second)))}/s"


def _measured(value: object, units: Mapping[str, Decimal], what: str, examples: str) -> float:
    allowed = f"allowed: a {what} such as {examples}"
    match = re.fullmatch(rf"{_NUMBER}\s*(\S+)", value.strip()) if isinstance(value, str) else None
    if match is None or match[2] not in units:
        raise value_error(f"{_shown(value)} is no {what}", allowed)
    amount = Decimal(match[1]) * units[match[2]]
    if not amount:
        raise value_error("is zero", f"allowed: a {what} above zero")
    return float(amount)


def _scaled(value: float, order: list[str], units: Mapping[str, Decimal], smallest: str) -> str:
    exact = Decimal(repr(value))
    for unit in order:
        if exact >= units[unit] and exact % units[unit] == 0:
            return f"{_plain(exact / units[unit])}{unit}"
    return f"{_plain(exact)}{smallest}"


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _schema(description: str, examples: list[str], pattern: str) -> Any:
    return WithJsonSchema({"type": "string", "pattern": pattern, "description": description, "examples": examples})


_DURATION = _schema("A duration.", ["250ms", "90s", "1h30m"], r"^(\d+(\.\d+)?(us|ms|s|m|h|d))+$")

Duration = Annotated[float, BeforeValidator(duration), PlainSerializer(show_duration), _DURATION]
"""Seconds, zero or more."""
PositiveDuration = Annotated[float, BeforeValidator(positive_duration), PlainSerializer(show_duration), _DURATION]
"""Seconds, more than zero."""
Size = Annotated[
    float,
    BeforeValidator(size),
    PlainSerializer(show_size),
    _schema("A size in bytes.", ["80MiB", "1GB"], r"^\d+(\.\d+)?\s*([KMGT]iB?|[kMGT]?B)$"),
]
"""Bytes."""
Bandwidth = Annotated[
    float,
    BeforeValidator(bandwidth),
    PlainSerializer(show_bandwidth),
    _schema("A bandwidth.", ["2Gbit/s", "250MB/s"], r"^\d+(\.\d+)?\s*([kMGT]?bit|[kMGT]?B|[KMGT]iB)/s$"),
]
"""Bytes a second."""
Rate = Annotated[
    float,
    BeforeValidator(rate),
    PlainSerializer(show_rate),
    _schema("Events in a time.", ["4/min", "20/s"], r"^\d+(\.\d+)?\s*/\s*(s|min|h|d)$"),
]
"""Events a second."""
