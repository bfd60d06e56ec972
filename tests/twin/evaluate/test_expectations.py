"""Expectations of a scenario, checked against the numbers of a summary."""

import pytest

from twin.evaluate.expectations import ExpectationResult, check_expectations, measure
from twin.scenario import parse_expectation

SUMMARY = {
    "adapters": {"running": 40, "total": 40},
    "time_to_running_seconds": {"p95": 119.5},
    "recovery_seconds": {"p95": None},
    "availability": 0.995,
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("adapters.running == 40", True),
        ("adapters.running != 40", False),
        ("adapters.running >= 41", False),
        ("adapters.running < 41", True),
        ("time_to_running_seconds.p95 <= 120", True),
        ("time_to_running_seconds.p95 > 119.5", False),
        ("availability >= 0.99", True),
    ],
)
def test_each_operator_of_an_expectation_compares_as_written(text: str, holds: bool) -> None:
    (outcome,) = check_expectations([parse_expectation(text)], SUMMARY)
    assert outcome.passed is holds
    assert outcome.text == text
    assert outcome.message == ""


def test_an_expectation_on_a_missing_measurement_fails_with_that_reason() -> None:
    (outcome,) = check_expectations([parse_expectation("recovery_seconds.p95 <= 10")], SUMMARY)
    message = "recovery_seconds.p95 has no value in this run"
    assert outcome == ExpectationResult("recovery_seconds.p95 <= 10", "recovery_seconds.p95", False, None, message)


def test_a_measure_that_the_summary_lacks_fails_too() -> None:
    (outcome,) = check_expectations([parse_expectation("pod_switches == 0")], SUMMARY)
    assert not outcome.passed


def test_a_group_is_no_number() -> None:
    assert measure(SUMMARY, "adapters") is None
    assert measure(SUMMARY, "adapters.running.more") is None
