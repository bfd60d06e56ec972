"""What is known of a run once it is over: its record, its numbers, what was found wrong with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from formats.durations import format_clock
from twin.evaluate.expectations import ExpectationResult, measure
from twin.evaluate.invariants import Violation
from twin.trace.lines import Line, Run


@dataclass(frozen=True, slots=True)
class RunResult:
    """A run, judged."""

    lines: Sequence[Line]
    """The record; its first line is the `Run`."""
    measures: Mapping[str, Any]
    """What `twin.measures` computed."""
    expectations: Sequence[ExpectationResult] = ()
    violations: Sequence[Violation] = ()
    unjudged: Sequence[str] = ()
    """What could not be judged, in words."""
    scenario: str = ""
    """As resolved, YAML."""
    partial: bool = False
    """Whether it was interrupted."""

    @property
    def run(self) -> Run:
        """What was run, and by which rules."""
        first = self.lines[0] if self.lines else None
        if not isinstance(first, Run):
            raise ValueError('the record does not begin with a "run" line: it is cut off or no record')
        return first

    @property
    def passed(self) -> bool:
        """No invariant broken, every expectation met."""
        return not self.violations and all(outcome.passed for outcome in self.expectations)

    @property
    def covered(self) -> float:
        """Simulated seconds that were run."""
        return self.lines[-1].t if self.partial else self.run.duration

    def summary(self) -> dict[str, Any]:
        """What `summary.json` holds. Nothing in it depends on the wall clock."""
        run = self.run
        return {
            "name": run.name,
            "seed": run.seed,
            "version": run.version,
            "policy": run.policy,
            "duration_seconds": run.duration,
            "partial": self.partial,
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
        """The run in a sentence or two, for somebody who reads nothing else."""
        said = [self._adapters(), self._rules()]
        if self.expectations:
            said.append(self._expectations())
        sentence = "; ".join(said) + "."
        if self.partial:
            covered, total = format_clock(self.covered), format_clock(self.run.duration)
            return f"Interrupted after {covered} of {total}. Until then: {sentence}"
        return sentence[0].upper() + sentence[1:]

    @property
    def left(self) -> int:
        """Adapters that were there at the end."""
        return self.count("total") - self.count("deleted")

    def count(self, name: str) -> int:
        """A number of adapters, by its name in the summary."""
        return int(measure(self.measures, f"adapters.{name}") or 0)

    def _adapters(self) -> str:
        left, running, gone = self.left, self.count("running"), self.count("deleted")
        deleted = f", {gone} had been deleted" if gone else ""
        if not left:
            return f"no adapter was there at the end{deleted}"
        if running == left:
            return f"{f'all {left} adapters were' if left > 1 else 'the adapter was'} Running at the end{deleted}"
        rest = ", ".join(f"{n} {word}" for word in ("failed", "pending") if (n := self.count(word)))
        return f"{running} of {left} adapters were Running at the end" + (f" ({rest})" if rest else "") + deleted

    def _rules(self) -> str:
        if not self.violations:
            return "no invariant was broken"
        first, count = self.violations[0], len(self.violations)
        times = f"{count} times" if count > 1 else "once"
        place = f"first at {format_clock(first.t)} by {first.object} ({invariant_label(first)})"
        return f"an invariant was broken {times}, {place}"

    def _expectations(self) -> str:
        total, missed = len(self.expectations), sum(not outcome.passed for outcome in self.expectations)
        if missed:
            return f"{missed} of {total} expectations {'does' if missed == 1 else 'do'} not hold"
        return f"all {total} expectations hold" if total > 1 else "what was expected holds"


def invariant_label(violation: Violation) -> str:
    """What the broken rule is called."""
    name = str(violation.invariant)
    return f"invariant {name}" if name.isdecimal() else name
