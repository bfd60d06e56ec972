"""Types of a scenario's fields that are durations, sizes, rates and bandwidths, as pydantic annotations.

Inside they are floats in seconds, bytes, events per second and bytes per second. A serialized value parses to the
same float, so that a resolved scenario is the same scenario. `formats/` has the grammar.
"""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from formats.durations import format_duration, parse_duration, parse_positive_duration
from formats.errors import FormatError
from formats.quantities import (
    format_bandwidth,
    format_rate,
    format_size,
    parse_bandwidth,
    parse_rate,
    parse_size,
)
from twin.scenario.errors import Path


def value_error(message: str, allowed: str = "", at: Path = (), *, key: bool = False) -> PydanticCustomError:
    """Return the error that a validator raises.

    Args:
        message: what is wrong.
        allowed: what is allowed.
        at: the path from the validated value to the wrong part of it.
        key: true if the key at that path is wrong, not the value.
    """
    context = {"message": message, "allowed": allowed, "at": list(at), "key": key}
    return PydanticCustomError("scenario", "{message}", context)


def format_error(error: FormatError, at: Path = ()) -> PydanticCustomError:
    """Return the validator's error for text that a parser of `formats/` refused."""
    return value_error(error.message, f"allowed: {error.allowed}", at)


def _validator(parse: Callable[[object], float]) -> BeforeValidator:
    def validate(value: object) -> float:
        try:
            return parse(value)
        except FormatError as error:
            raise format_error(error) from None

    return BeforeValidator(validate)


def _schema(description: str, examples: list[str], pattern: str) -> Any:
    return WithJsonSchema({"type": "string", "pattern": pattern, "description": description, "examples": examples})


_DURATION = _schema("A duration.", ["250ms", "90s", "1h30m"], r"^(\d+(\.\d+)?(us|ms|s|m|h|d))+$")
_SIZE = _schema("A size in bytes.", ["80MiB", "1GB"], r"^\d+(\.\d+)?\s*([KMGT]iB?|[kMGT]?B)$")
_BANDWIDTH = _schema("A bandwidth.", ["2Gbit/s", "250MB/s"], r"^\d+(\.\d+)?\s*([kMGT]?bit|[kMGT]?B|[KMGT]iB)/s$")
_RATE = _schema("Events in a time.", ["4/min", "20/s"], r"^\d+(\.\d+)?\s*/\s*(s|min|h|d)$")

Duration = Annotated[float, _validator(parse_duration), PlainSerializer(format_duration), _DURATION]
"""Seconds, zero or more."""
PositiveDuration = Annotated[float, _validator(parse_positive_duration), PlainSerializer(format_duration), _DURATION]
"""Seconds, more than zero."""
Size = Annotated[float, _validator(parse_size), PlainSerializer(format_size), _SIZE]
"""Bytes."""
Bandwidth = Annotated[float, _validator(parse_bandwidth), PlainSerializer(format_bandwidth), _BANDWIDTH]
"""Bytes per second."""
Rate = Annotated[float, _validator(parse_rate), PlainSerializer(format_rate), _RATE]
"""Events per second."""
