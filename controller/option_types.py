"""What the values of options may be: each function reads a text, or says what is allowed."""

import re
from collections.abc import Callable

from controller.policies import UnknownPolicy, find
from formats.durations import parse_duration
from formats.errors import FormatError
from formats.sockets import parse_address

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class OptionError(ValueError):
    """What was given cannot be used; the message says what is allowed."""


def duration(text: str) -> float:
    """Seconds: `90`, `90s`, `1m30s`, `2h`, `500ms`."""
    try:
        return parse_duration(text, plain_seconds=True)
    except FormatError as error:
        raise OptionError(f"must be {error.allowed}") from None


def positive_duration(text: str) -> float:
    seconds = duration(text)
    if seconds <= 0:
        raise OptionError("must be longer than 0")
    return seconds


def count(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise OptionError(f"must be a whole number, at least {least}")
        return int(text)

    return parse


def number(least: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value < float("inf"):
            raise OptionError(f"must be a number, at least {least:g}")
        return value

    return parse


def one_of(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise OptionError(f"must be one of {', '.join(allowed)}")
        return text

    return parse


def policy_name(text: str) -> str:
    try:
        find(text)
    except UnknownPolicy as error:
        raise OptionError(str(error)) from None
    return text


def policy_names(text: str) -> tuple[str, ...]:
    return tuple(policy_name(name.strip()) for name in text.split(",") if name.strip())


def namespaces_list(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if not _NAMESPACE.fullmatch(name):
            raise OptionError(f"{name!r} cannot be the name of a namespace")
    return names


def address(text: str) -> tuple[str, int] | None:
    """`HOST:PORT`, `:PORT` for all interfaces, `0` for none."""
    if text in ("", "0"):
        return None
    try:
        return parse_address(text)
    except FormatError as error:
        raise OptionError(f"must be {error.allowed}, or 0 for none") from None


def url(text: str) -> str:
    if text and not text.startswith(("http://", "https://")):
        raise OptionError("must start with http:// or https://")
    return text


def boolean(text: str) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in known:
        raise OptionError("must be true or false")
    return known[text.lower()]
