"""Types of option values: each function parses a text, or says what is allowed."""

import re
from collections.abc import Callable

from controller.policies import UnknownPolicy, find
from formats.durations import parse_duration, parse_positive_duration
from formats.errors import FormatError
from formats.sockets import parse_address

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class OptionError(ValueError):
    """An option has a value that is not allowed; the message says what is."""


def duration(text: str) -> float:
    """Return the seconds of a duration; a number without a unit is in seconds."""
    return parse_duration(text, plain_seconds=True)


def positive_duration(text: str) -> float:
    """Return the seconds of a duration longer than zero."""
    return parse_positive_duration(text, plain_seconds=True)


def integer(minimum: int) -> Callable[[str], int]:
    """Return a parser of whole numbers that are not below `minimum`."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < minimum:
            raise OptionError(f"must be a whole number, at least {minimum}")
        return int(text)

    return parse


def number(minimum: float) -> Callable[[str], float]:
    """Return a parser of finite numbers that are not below `minimum`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not minimum <= value < float("inf"):
            raise OptionError(f"must be a number, at least {minimum:g}")
        return value

    return parse


def one_of(*allowed: str) -> Callable[[str], str]:
    """Return a parser that accepts only the given texts."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise OptionError(f"must be one of {', '.join(allowed)}")
        return text

    return parse


def policy_name(text: str) -> str:
    """Return the name of a placement policy that exists."""
    try:
        find(text)
    except UnknownPolicy as error:
        raise OptionError(str(error)) from None
    return text


def policy_names(text: str) -> tuple[str, ...]:
    """Return a comma-separated list of placement policies."""
    return tuple(policy_name(name.strip()) for name in text.split(",") if name.strip())


def namespaces(text: str) -> tuple[str, ...]:
    """Return a comma-separated list of namespaces without duplicates."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if not _NAMESPACE.fullmatch(name):
            raise OptionError(f"{name!r} is not a valid name of a namespace")
    return names


def address(text: str) -> tuple[str, int] | None:
    """Return host and port of `HOST:PORT` or `:PORT`; None for `0`, which disables the listener."""
    if text in ("", "0"):
        return None
    try:
        return parse_address(text)
    except FormatError:
        raise OptionError("must be HOST:PORT, :PORT for every interface, or 0 to disable") from None


def url(text: str) -> str:
    """Return an HTTP URL; empty means none."""
    if text and not text.startswith(("http://", "https://")):
        raise OptionError("must start with http:// or https://")
    return text


def boolean(text: str) -> bool:
    """Return a truth value."""
    if text.lower() not in _BOOLEANS:
        raise OptionError("must be true or false")
    return _BOOLEANS[text.lower()]
