"""Types of options, as pflag's `Value`: the type's name in `--help`, a parser and the text of a default."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from controller.policies import UnknownPolicy, find
from formats.durations import format_duration, parse_duration, parse_positive_duration
from formats.errors import FormatError
from formats.sockets import parse_address

T = TypeVar("T")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class OptionError(ValueError):
    """An option has a value that is not allowed; the message says what is."""


@dataclass(frozen=True, slots=True)
class OptionType(Generic[T]):
    """Type of an option."""

    name: str
    parse: Callable[[str], T]
    """Raises `OptionError` or `FormatError` if the text is not allowed."""
    format: Callable[[T], str] = str


def integer(minimum: int) -> OptionType[int]:
    """Whole numbers that are not below `minimum`."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < minimum:
            raise OptionError(f"must be a whole number, at least {minimum}")
        return int(text)

    return OptionType("int", parse)


def share() -> OptionType[float]:
    """Numbers from 0 to 1."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not 0 <= value <= 1:
            raise OptionError("must be a number from 0 to 1")
        return value

    return OptionType("float", parse, "{:g}".format)


def number(minimum: float) -> OptionType[float]:
    """Finite numbers that are not below `minimum`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not minimum <= value < float("inf"):
            raise OptionError(f"must be a number, at least {minimum:g}")
        return value

    return OptionType("float", parse, "{:g}".format)


def one_of(*allowed: str) -> OptionType[str]:
    """The given texts only."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise OptionError(f"must be one of {', '.join(allowed)}")
        return text

    return OptionType("string", parse)


def _policy(text: str) -> str:
    try:
        find(text)
    except UnknownPolicy as error:
        raise OptionError(str(error)) from None
    return text


def _split(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def _namespaces(text: str) -> tuple[str, ...]:
    names = _split(text)
    for name in names:
        if not _NAMESPACE.fullmatch(name):
            raise OptionError(f"{name!r} is not a valid name of a namespace")
    return names


def _address(text: str) -> tuple[str, int] | None:
    if text in ("", "0"):
        return None
    try:
        return parse_address(text)
    except FormatError:
        raise OptionError("must be HOST:PORT, :PORT for every interface, or 0 to disable") from None


def _format_address(address: tuple[str, int] | None) -> str:
    return f":{address[1]}" if address else "0"


def _url(text: str) -> str:
    if text and not text.startswith(("http://", "https://")):
        raise OptionError("must start with http:// or https://")
    return text


def _bool(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise OptionError("must be true or false")
    return _BOOLEANS[text.lower()]


STRING = OptionType("string", str)
BOOL = OptionType("bool", _bool, lambda value: str(value).lower())
DURATION = OptionType("duration", partial(parse_duration, plain_seconds=True), format_duration)
"""A number without a unit is in seconds."""
POSITIVE_DURATION = OptionType("duration", partial(parse_positive_duration, plain_seconds=True), format_duration)
ADDRESS = OptionType("address", _address, _format_address)
"""`HOST:PORT` or `:PORT`; None for `0`, which disables the listener."""
URL = OptionType("string", _url)
"""An HTTP URL; may be empty."""
NAMESPACES = OptionType("strings", _namespaces)
POLICY = OptionType("string", _policy)
"""Name of a placement policy that exists."""
POLICIES = OptionType("strings", lambda text: tuple(map(_policy, _split(text))))
