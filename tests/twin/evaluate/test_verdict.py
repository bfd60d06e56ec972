"""The verdict of a run in which no adapter runs."""

from collections.abc import Mapping

import pytest

from tests.twin.synthetic import a_run
from twin.evaluate.expectations import ExpectationResult
from twin.evaluate.run_result import RunResult

NONE_RUNS = {"total": 3, "running": 0, "failed": 1, "pending": 2, "deleted": 0}


@pytest.mark.parametrize(
    ("adapters", "expected", "passed"),
    [
        (NONE_RUNS, (), False),
        (NONE_RUNS, ("loads.attempted == 0",), False),
        (NONE_RUNS, ("adapters.running == 0",), True),
        (NONE_RUNS, ("adapters.failed == 1",), True),
        (NONE_RUNS, ("adapters.pending >= 2",), True),
        ({**NONE_RUNS, "running": 1, "pending": 1}, (), True),
        ({**NONE_RUNS, "deleted": 3, "failed": 0, "pending": 0}, (), True),
    ],
)
def test_a_run_in_which_nothing_runs_has_failed_unless_that_is_expected(
    adapters: Mapping[str, int], expected: tuple[str, ...], passed: bool
) -> None:
    result = RunResult(
        a_run(), {"adapters": adapters}, [ExpectationResult(text, text.split()[0], True, 0) for text in expected]
    )
    assert result.passed is passed
    assert ("expect it: adapters.running == 0" in result.verdict()) is not passed


def test_an_expectation_that_failed_expects_nothing() -> None:
    result = RunResult(
        a_run(), {"adapters": NONE_RUNS}, [ExpectationResult("adapters.running == 3", "adapters.running", False, 0)]
    )
    assert result.nothing_runs
