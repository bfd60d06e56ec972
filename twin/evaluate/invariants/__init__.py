"""Invariants of every run, checked on the trace alone. Start reading at `check`.

`state.py` replays the trace into the current state, `tolerances.py` has what faults excuse, and `deadlines.py` turns a
wrong state that lasts too long into a violation. `safety.py`, `requests.py`, `weights.py`, `progress.py`, `claims.py`,
`cost.py` and `on_demand.py` have one class for each of the sixteen invariants, `liveness.py` has what must be reached
eventually. `own_faults.py` and `placement.py` have what is not the operator's fault, `causes.py` what an operator
reacts to; each bound is documented where it is used.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from twin.evaluate.invariants.base import Invariant
from twin.evaluate.invariants.deadlines import Violation
from twin.evaluate.invariants.liveness import Liveness
from twin.evaluate.invariants.safety import SAFETY
from twin.evaluate.invariants.state import ClusterState
from twin.trace.lines import Line, Run

__all__ = ["InvariantReport", "Violation", "check"]


@dataclass(frozen=True, slots=True)
class InvariantReport:
    """Result of checking all invariants; the violations are sorted by time."""

    checked: int
    """Number of single checks. No violation means little if there were few checks."""
    violations: tuple[Violation, ...]
    liveness_judged: bool
    """True if the run was long enough after its last fault to check liveness."""


def check(lines: Sequence[Line]) -> InvariantReport:
    """Check a trace whose first line is its `Run`."""
    run = lines[0]
    assert isinstance(run, Run)
    state = ClusterState(run)
    rules = [rule(state) for rule in SAFETY]
    liveness = Liveness(state)
    observers: dict[type[Line], list[Callable[[Line], None]]] = {}
    now = run.t
    for index, line in enumerate(islice(lines, 1, None), start=1):
        if line.t > now:  # no deadline is over at the moment in which it begins
            now = line.t
            _advance(state, rules, now)
        state.see(line, index)
        if rules[0].deadlines.stopped != state.is_blind or state.resumed:
            _stop_or_restart(state, rules, line.t)
        kind = type(line)
        if kind not in observers:
            observers[kind] = [rule.see for rule in rules if kind in rule.kinds]
        for see in observers[kind]:
            see(line)
        liveness.see(line, index)
    end = lines[-1].t
    _advance(state, rules, max(end, run.duration))
    violations = [violation for rule in rules for violation in rule.deadlines.violations]
    violations += liveness.finish(max(end, run.duration))
    return InvariantReport(
        checked=sum(rule.deadlines.checked for rule in rules) + liveness.checked,
        violations=tuple(sorted(violations, key=lambda v: (v.t, str(v.invariant), v.object, v.message))),
        liveness_judged=liveness.judged,
    )


def _advance(state: ClusterState, rules: Sequence[Invariant], t: float) -> None:
    """Advance the time to `t`; a grace period after a fault may end on the way."""
    grace_end = state.tolerances.patient_until
    if grace_end is not None and grace_end <= t:
        for rule in rules:
            rule.deadlines.advance(grace_end)
        state.end_patience(grace_end)
        _stop_or_restart(state, rules, grace_end)
    for rule in rules:
        due = rule.deadlines.due
        if due and due[0][0] < t:
            rule.deadlines.advance(t)


def _stop_or_restart(state: ClusterState, rules: Sequence[Invariant], t: float) -> None:
    """Suspend the deadlines while no replica can act; restart them at `t` if one can again."""
    for rule in rules:
        rule.deadlines.stopped = state.is_blind
        if state.resumed:
            rule.deadlines.reset(t)
