"""Whether a run's summary holds what its scenario expects of it.

The scenario says `NAME OP NUMBER` (`twin.scenario.parse_expectation` reads that); here it meets the numbers. What
could not be measured fails its expectation: nobody should read "holds" off a figure that is not there.
"""

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a report is drawn without reading a scenario, and loading that package takes its time
    from twin.scenario import Expectation

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


@dataclass(frozen=True, slots=True)
class ExpectationResult:
    """An expectation and how it came out."""

    text: str
    passed: bool
    actual: float | None
    """What was measured; None if nothing was."""
    message: str = ""
    """Why it fails, if that is not plain from `actual`."""


def check_expectations(expectations: Iterable["Expectation"], summary: Mapping[str, Any]) -> list[ExpectationResult]:
    """Every expectation, in order, against a summary's numbers."""
    return [_outcome(expectation, summary) for expectation in expectations]


def measure(summary: Mapping[str, Any], name: str) -> float | None:
    """The number that stands under a dotted name, or None if there is none."""
    value: Any = summary
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value if isinstance(value, int | float) else None


def _outcome(expectation: "Expectation", summary: Mapping[str, Any]) -> ExpectationResult:
    actual = measure(summary, expectation.name)
    if actual is None:
        return ExpectationResult(str(expectation), False, None, f"{expectation.name} could not be measured in this run")
    return ExpectationResult(str(expectation), _COMPARE[expectation.op](actual, expectation.value), actual)
