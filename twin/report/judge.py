"""From a record to what is found in it: rules, numbers, expectations."""

from collections.abc import Iterable, Sequence

from twin import measures, oracles
from twin.expectations import evaluate
from twin.record import Line
from twin.report.findings import Findings
from twin.scenario import Expectation


def judge(
    lines: Sequence[Line], expectations: Iterable[Expectation], *, scenario: str = "", partial: bool = False
) -> Findings:
    """Judges a record; the first of `lines` is its `Run`. `scenario` is the resolved YAML."""
    verdicts = oracles.check(lines)
    numbers = measures.summarise(lines, verdicts)
    return Findings(
        lines=lines,
        measures=numbers,
        outcomes=evaluate(expectations, numbers),
        violations=verdicts.violations,
        scenario=scenario,
        partial=partial,
    )
