"""Result of a run: trace, measures, violations and expectations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from formats.durations import format_clock
from twin.evaluate.expectations import ExpectationResult, measure
from twin.evaluate.invariants import Violation
from twin.trace.lines import Line, Run

_PHASES = frozenset({"adapters.running", "adapters.failed", "adapters.pending"})
"""Measures of the phases in which adapters are at the end."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """Evaluated run."""

    lines: Sequence[Line]
    """The trace; its first line is the `Run`."""
    measures: Mapping[str, Any]
    """Numbers of the summary, from `measures.py`."""
    expectations: Sequence[ExpectationResult] = ()
    violations: Sequence[Violation] = ()
    unjudged: Sequence[str] = ()
    """Checks that were not possible, as sentences."""
    scenario: str = ""
    """The resolved scenario, as YAML."""
    partial: bool = False
    """True if the run was interrupted."""

    @property
    def run(self) -> Run:
        """Return the first line, which describes the run."""
        first = self.lines[0] if self.lines else None
        if not isinstance(first, Run):
            raise ValueError('the trace does not start with a "run" line; it is truncated or not a trace')
        return first

    @property
    def passed(self) -> bool:
        """True if no invariant was violated, every expectation was met, and something runs or is not expected to."""
        return not (self.violations or self.nothing_runs) and all(outcome.passed for outcome in self.expectations)

    @property
    def nothing_runs(self) -> bool:
        """True if adapters existed at the end, none was Running, and no expectation says so."""
        expected = any(e.passed and e.measure in _PHASES for e in self.expectations)
        return self.left > 0 and not self.count("running") and not expected

    @property
    def covered(self) -> float:
        """Return the simulated seconds that were run."""
        return self.lines[-1].t if self.partial else self.run.duration

    def summary(self) -> dict[str, Any]:
        """Return the contents of `summary.json`. Nothing in it depends on the wall clock."""
        run = self.run
        return {
            "name": run.name,
            "seed": run.seed,
            "version": run.version,
            "policy": run.policy,
            "duration_seconds": run.duration,
            "partial": self.partial,
            "trace_lines": len(self.lines),
            "passed": self.passed,
            "verdict": self.verdict(),
            **self.measures,
            "expectations": [
                {
                    "text": e.text,
                    "passed": e.passed,
                    "actual": e.actual,
                    **({"message": e.message} if e.message else {}),
                }
                for e in self.expectations
            ],
            "notes": list(run.notes),
        }

    def verdict(self) -> str:
        """Return the result of the run in one or two sentences."""
        parts = [self._adapters(), self._rules()]
        if self.expectations:
            parts.append(self._expectations())
        sentence = "; ".join(parts) + "."
        if self.nothing_runs and not self.partial:
            sentence += " If that is intended, expect it: adapters.running == 0."
        if self.partial:
            covered, total = format_clock(self.covered), format_clock(self.run.duration)
            return f"Interrupted after {covered} of {total}. Until then: {sentence}"
        return sentence[0].upper() + sentence[1:]

    @property
    def left(self) -> int:
        """Return the number of adapters that existed at the end."""
        return self.count("total") - self.count("deleted")

    def count(self, name: str) -> int:
        """Return a number of adapters by its name in the summary."""
        return int(measure(self.measures, f"adapters.{name}") or 0)

    def _adapters(self) -> str:
        left, running, gone = self.left, self.count("running"), self.count("deleted")
        deleted = f", {gone} were deleted" if gone else ""
        if not left:
            return f"no adapters existed at the end{deleted}"
        if running == left:
            return f"{f'all {left} adapters were' if left > 1 else 'the adapter was'} Running at the end{deleted}"
        rest = ", ".join(f"{n} {word}" for word in ("failed", "pending") if (n := self.count(word)))
        return f"{running} of {left} adapters were Running at the end" + (f" ({rest})" if rest else "") + deleted

    def _rules(self) -> str:
        if not self.violations:
            return "no invariant was violated"
        first, count = self.violations[0], len(self.violations)
        times = f"{count} times" if count > 1 else "once"
        place = f"first at {format_clock(first.t)} by {first.object} ({invariant_label(first)})"
        return f"invariants were violated {times}, {place}"

    def _expectations(self) -> str:
        total, missed = len(self.expectations), sum(not outcome.passed for outcome in self.expectations)
        if missed:
            return f"{missed} of {total} expectations failed"
        return f"all {total} expectations passed" if total > 1 else "the expectation passed"


def invariant_label(violation: Violation) -> str:
    """Return the name of the violated invariant."""
    name = str(violation.invariant)
    return f"invariant {name}" if name.isdecimal() else name
