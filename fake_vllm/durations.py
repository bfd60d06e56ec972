"""Durations and distributions of them, as people write them on command lines and in files.

A duration is `250ms`, `1.8s` or `1m30s`. A distribution is a duration, or one of `{uniform: [a, b]}`,
`{exponential: mean}`, `{lognormal: {median: ..., p95: ...}}` and `{empirical: [a, b, ...]}`: the same words as in the
twin's scenarios.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from fake_vllm.distributions import Constant, Empirical, Exponential, Latency, LogNormal, Uniform

_UNITS = {"us": 1e-6, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:us|ms|s|m|h))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)")
_FORMS = (
    "a duration, {uniform: [a, b]}, {exponential: mean}, {lognormal: {median: a, p95: b}} or {empirical: [a, b, ...]}"
)


def seconds(text: object) -> float:
    """Seconds of a duration.

    Raises:
        ValueError: if that is none.
    """
    if not isinstance(text, str) or not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is no duration; write it as in 250ms, 1.8s or 1m30s")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def distribution(value: object) -> Latency:
    """The distribution that `value` describes.

    Raises:
        ValueError: if it describes none.
    """
    if not isinstance(value, Mapping):
        return Constant(seconds(value))
    if len(value) == 1:
        ((form, given),) = value.items()
        if form == "uniform" and isinstance(given, list) and len(given) == 2:
            return Uniform(seconds(given[0]), seconds(given[1]))
        if form == "exponential":
            return Exponential(seconds(given))
        if form == "lognormal" and isinstance(given, Mapping) and set(given) == {"median", "p95"}:
            return LogNormal(seconds(given["median"]), seconds(given["p95"]))
        if form == "empirical" and isinstance(given, list) and given:
            return Empirical(tuple(map(seconds, given)))
    raise ValueError(f"{dict(value)!r} is no distribution; write {_FORMS}")


def described(latency: Latency, show: Callable[[float], str]) -> Any:
    """What a person would write for a distribution, each duration as `show` writes it."""
    match latency:
        case Constant(value):
            return show(value)
        case Uniform(low, high):
            return {"uniform": [show(low), show(high)]}
        case Exponential(average):
            return {"exponential": show(average)}
        case LogNormal(median, p95):
            return {"lognormal": {"median": show(median), "p95": show(p95)}}
        case Empirical(values):
            return {"empirical": [show(each) for each in values]}
    raise TypeError(f"no way to write a {type(latency).__name__}")
