"""Expectations of a scenario, checked against the summary of a run.

An expectation is `NAME OP NUMBER`, parsed by `twin.scenario.parse_expectation`. It fails if its measure has no value.
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
    """An expectation and its result."""

    text: str
    measure: str
    """Dotted name of the measure."""
    passed: bool
    actual: float | None
    """Measured value, if any."""
    message: str = ""
    """Reason of the failure, if `actual` does not show it."""


def check_expectations(expectations: Iterable["Expectation"], summary: Mapping[str, Any]) -> list[ExpectationResult]:
    """Check every expectation, in order, against the numbers of a summary."""
    return [_outcome(expectation, summary) for expectation in expectations]


def measure(summary: Mapping[str, Any], name: str) -> float | None:
    """Return the number with a dotted name, or None."""
    value: Any = summary
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value if isinstance(value, int | float) else None


def _outcome(expectation: "Expectation", summary: Mapping[str, Any]) -> ExpectationResult:
    actual = measure(summary, expectation.name)
    if actual is None:
        message = f"{expectation.name} has no value in this run"
        return ExpectationResult(str(expectation), expectation.name, False, None, message)
    passed = _COMPARE[expectation.op](actual, expectation.value)
    return ExpectationResult(str(expectation), expectation.name, passed, actual)
