"""From a record to what is found in it: rules, numbers, expectations."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from twin.evaluate import invariants, measures
from twin.evaluate.expectations import check_expectations
from twin.evaluate.run_result import RunResult
from twin.scenario import Expectation
from twin.trace.lines import Line, Run

UNJUDGED = (
    "Whether every adapter gets to run in the end was not judged: the run ended too soon after its last fault or "
    "change to tell. A longer duration lets it be."
)


def evaluate(
    lines: Sequence[Line], expectations: Iterable[Expectation], *, scenario: str = "", partial: bool = False
) -> RunResult:
    """Judges a record; the first of `lines` is its `Run`. `scenario` is the resolved YAML."""
    verdicts = invariants.check(_cut_short(lines) if partial else lines)
    numbers = measures.summarise(lines, verdicts)
    return RunResult(
        lines=lines,
        measures=numbers,
        expectations=check_expectations(expectations, numbers),
        violations=verdicts.violations,
        unjudged=() if verdicts.liveness_judged else (UNJUDGED,),
        scenario=scenario,
        partial=partial,
    )


def _cut_short(lines: Sequence[Line]) -> list[Line]:
    """An interrupted run as one that was meant to end there: nothing after that is owed."""
    run, *rest = lines
    assert isinstance(run, Run)
    return [replace(run, duration=lines[-1].t), *rest]
