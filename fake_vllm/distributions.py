"""Distributions of durations, in seconds.

Each is a frozen value that draws from the generator it is given, so two runs with the same random stream have the same
latencies. Nothing here sleeps: the caller waits.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from formats.durations import parse_duration
from formats.errors import FormatError

if TYPE_CHECKING:
    import numpy as np

_Z95 = 1.6448536269514722  # standard normal quantile of 0.95
_Z999 = 3.090232306167813  # standard normal quantile of 0.999


class Latency(Protocol):
    """A distribution of durations."""

    def draw(self, rng: "np.random.Generator") -> float:
        """Draw one duration in seconds, never negative."""

    def mean(self) -> float:
        """Return the expected duration in seconds."""

    def upper(self) -> float:
        """Return an upper bound in seconds: the largest value, or the 99.9 % quantile of an unbounded distribution."""


def _require(condition: bool, message: str) -> None:
    """Check parameters. Conditions are written so that NaN, which compares false with everything, fails."""
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Constant:
    """The same value every time."""

    value: float

    def __post_init__(self) -> None:
        _require(0 <= self.value < math.inf, f"a constant latency must be finite and not negative, not {self.value}")

    def draw(self, rng: "np.random.Generator") -> float:  # noqa: ARG002 - the protocol's signature
        return self.value

    def mean(self) -> float:
        return self.value

    def upper(self) -> float:
        return self.value


@dataclass(frozen=True, slots=True)
class Uniform:
    """Uniform from `low` to `high`."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _require(
            0 <= self.low <= self.high < math.inf,
            f"a uniform latency needs 0 <= low <= high, not low={self.low}, high={self.high}",
        )

    def draw(self, rng: "np.random.Generator") -> float:
        return self.low + (self.high - self.low) * rng.random()  # the same as `rng.uniform`, several times faster

    def mean(self) -> float:
        return (self.low + self.high) / 2

    def upper(self) -> float:
        return self.high


@dataclass(frozen=True, slots=True)
class Exponential:
    """Exponential with mean `average`."""

    average: float

    def __post_init__(self) -> None:
        _require(
            0 <= self.average < math.inf,
            f"an exponential latency's mean must be finite and not negative, not {self.average}",
        )

    def draw(self, rng: "np.random.Generator") -> float:
        return self.average * rng.standard_exponential()  # the same as `rng.exponential`, faster

    def mean(self) -> float:
        return self.average

    def upper(self) -> float:
        return self.average * math.log(1000)


@dataclass(frozen=True, slots=True)
class LogNormal:
    """Log-normal, as loads and start-ups are, given by the two numbers that are usually measured."""

    median: float
    p95: float

    def __post_init__(self) -> None:
        _require(
            0 < self.median <= self.p95 < math.inf,
            f"a lognormal latency needs 0 < median <= p95, not median={self.median}, p95={self.p95}",
        )

    @property
    def sigma(self) -> float:
        """Standard deviation of the logarithm."""
        return math.log(self.p95 / self.median) / _Z95

    def draw(self, rng: "np.random.Generator") -> float:
        return self.median * math.exp(self.sigma * rng.standard_normal())

    def mean(self) -> float:
        return self.median * math.exp(self.sigma**2 / 2)

    def upper(self) -> float:
        return self.median * math.exp(self.sigma * _Z999)


@dataclass(frozen=True, slots=True)
class Empirical:
    """One of the measured values, with equal probability."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        _require(len(self.values) > 0, "an empirical latency needs at least one value")
        for value in self.values:
            _require(0 <= value < math.inf, f"an empirical latency's values must be finite and >= 0, not {value}")

    def draw(self, rng: "np.random.Generator") -> float:
        return self.values[int(rng.integers(len(self.values)))]

    def mean(self) -> float:
        return math.fsum(self.values) / len(self.values)

    def upper(self) -> float:
        return max(self.values)


_FORMS = (
    "a duration, {uniform: [a, b]}, {exponential: mean}, {lognormal: {median: a, p95: b}} or {empirical: [a, b, ...]}"
)


def parse_distribution(value: object) -> Latency:
    """Return the distribution that `value` describes: a duration, or a mapping with one of the names in `_FORMS`.

    Raises:
        FormatError: if it does not describe one.
        ValueError: if a parameter is out of its range.
    """
    if not isinstance(value, Mapping):
        return Constant(parse_duration(value))
    if len(value) == 1:
        ((name, argument),) = value.items()
        if name == "uniform" and isinstance(argument, list) and len(argument) == 2:
            return Uniform(parse_duration(argument[0]), parse_duration(argument[1]))
        if name == "exponential":
            return Exponential(parse_duration(argument))
        if name == "lognormal" and isinstance(argument, Mapping) and set(argument) == {"median", "p95"}:
            return LogNormal(parse_duration(argument["median"]), parse_duration(argument["p95"]))
        if name == "empirical" and isinstance(argument, list) and argument:
            return Empirical(tuple(map(parse_duration, argument)))
    raise FormatError(f"{dict(value)!r} is not a distribution", _FORMS)


def format_distribution(latency: Latency, format_duration: Callable[[float], str]) -> Any:
    """Return what `parse_distribution` reads, with each duration written by `format_duration`."""
    match latency:
        case Constant(value):
            return format_duration(value)
        case Uniform(low, high):
            return {"uniform": [format_duration(low), format_duration(high)]}
        case Exponential(average):
            return {"exponential": format_duration(average)}
        case LogNormal(median, p95):
            return {"lognormal": {"median": format_duration(median), "p95": format_duration(p95)}}
        case Empirical(values):
            return {"empirical": [format_duration(value) for value in values]}
    raise TypeError(f"cannot format a {type(latency).__name__}")
