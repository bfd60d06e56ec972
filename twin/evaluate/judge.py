"""Evaluation of a trace: invariants, measures, expectations. Start reading here."""

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from twin.evaluate import invariants, measures
from twin.evaluate.expectations import check_expectations
from twin.evaluate.run_result import RunResult
from twin.scenario import Expectation
from twin.trace.lines import Line, LogLine, RefusedLine, Run
from twin.trace.recorder import TWIN

UNJUDGED = (
    "Liveness was not checked, because the run ended too soon after its last fault or change. Use a longer duration."
)


FAILED = "The simulated cluster itself failed {count} times, so that the run is not a cluster's; first: {first}"


REFUSED = "Requests of users that the API server refused: {count}; first: {first}"


def evaluate(
    lines: Sequence[Line], expectations: Iterable[Expectation], *, scenario: str = "", partial: bool = False
) -> RunResult:
    """Evaluate a trace, whose first line is its `Run`. `scenario` is the resolved YAML."""
    verdicts = invariants.check(_cut_short(lines) if partial else lines)
    numbers = measures.summarise(lines, verdicts)
    return RunResult(
        lines=lines,
        measures=numbers,
        expectations=check_expectations(expectations, numbers),
        violations=verdicts.violations,
        unjudged=tuple(_notes(lines, liveness_judged=verdicts.liveness_judged)),
        scenario=scenario,
        partial=partial,
    )


def _notes(lines: Sequence[Line], *, liveness_judged: bool) -> Iterator[str]:
    if not liveness_judged:
        yield UNJUDGED
    failures = [line.text for line in lines if isinstance(line, LogLine) and line.by == TWIN]
    if failures:
        yield FAILED.format(count=len(failures), first=failures[0])
    refused = [line for line in lines if isinstance(line, RefusedLine)]
    if refused:
        first = f"{refused[0].verb} of {refused[0].resource} {refused[0].object}: {refused[0].message}"
        yield REFUSED.format(count=len(refused), first=first)


def _cut_short(lines: Sequence[Line]) -> list[Line]:
    """Return the trace of an interrupted run with the duration that it reached."""
    run, *rest = lines
    assert isinstance(run, Run)
    return [replace(run, duration=lines[-1].t), *rest]
