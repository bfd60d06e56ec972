"""What must hold in every run, judged from the record alone: `check` is the way in.

`scene.py` keeps what the record has shown so far, `excuses.py` what faults excuse, `clocks.py` how long something has
been wrong; `safety.py` and `sending.py` have one class for each of the nine invariants, `liveness.py` says what must
come true in the end. The rules of judgement (an honest operator is never accused) are those of the contract with
users; each bound stands beside its use.
"""

from collections.abc import Sequence

from twin.evaluate.invariants.liveness import Liveness
from twin.evaluate.invariants.safety import SAFETY, Invariant
from twin.evaluate.invariants.state import ClusterState
from twin.evaluate.invariants.violations import InvariantReport, Violation
from twin.trace.lines import Line, Run

__all__ = ["InvariantReport", "Violation", "check"]


def check(lines: Sequence[Line]) -> InvariantReport:
    """Judges a record whose first line is its `Run`."""
    run = lines[0]
    assert isinstance(run, Run)
    scene = ClusterState(run)
    rules = [rule(scene) for rule in SAFETY]
    liveness = Liveness(scene)
    for index, line in enumerate(lines[1:], start=1):
        _advance(scene, rules, line.t)
        scene.see(line, index)
        blind, resumed = scene.blind, scene.resumed
        for rule in rules:
            rule.clocks.stopped = blind
            if resumed:
                rule.clocks.start_anew(line.t)
            rule.see(line)
        liveness.see(line, index)
    end = lines[-1].t
    _advance(scene, rules, max(end, run.duration))
    found = [violation for rule in rules for violation in rule.clocks.violations]
    found += liveness.finish(max(end, run.duration))
    return InvariantReport(
        checked=sum(rule.clocks.checked for rule in rules) + liveness.checked,
        violations=tuple(sorted(found, key=lambda v: (v.t, str(v.invariant), v.object, v.message))),
        liveness_judged=liveness.judged,
    )


def _advance(scene: ClusterState, rules: Sequence[Invariant], t: float) -> None:
    """Time goes on to `t`; on the way the operator may come to the end of a wait that a fault made it take."""
    moment = scene.excuses.patient_until
    if moment is not None and moment <= t:
        for rule in rules:
            rule.clocks.advance(moment)
        scene.wait_over(moment)
        for rule in rules:
            rule.clocks.stopped = scene.blind
            if scene.resumed:
                rule.clocks.start_anew(moment)
    for rule in rules:
        rule.clocks.advance(t)
