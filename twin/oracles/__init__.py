"""What must hold in every run, judged from the record alone: `check` is the way in.

`scene.py` keeps what the record has shown so far, `clocks.py` how long something has been wrong, `safety.py` has one
class for each of the eight invariants, `liveness.py` says what must come true in the end. The rules of judgement (an
honest operator is never accused) are those of the contract with users; each bound stands beside its use.
"""

from collections.abc import Sequence

from twin.oracles.liveness import Liveness
from twin.oracles.safety import SAFETY
from twin.oracles.scene import Scene
from twin.oracles.verdicts import Verdicts, Violation
from twin.record import Line, Run

__all__ = ["Verdicts", "Violation", "check"]


def check(lines: Sequence[Line]) -> Verdicts:
    """Judges a record whose first line is its `Run`."""
    run = lines[0]
    assert isinstance(run, Run)
    scene = Scene(run)
    rules = [rule(scene) for rule in SAFETY]
    liveness = Liveness(scene)
    for index, line in enumerate(lines[1:], start=1):
        for rule in rules:
            rule.clocks.advance(line.t)
        scene.see(line, index)
        for rule in rules:
            if scene.resumed:
                rule.clocks.start_anew(line.t)
            rule.see(line)
        liveness.see(line, index)
    end = lines[-1].t
    for rule in rules:
        rule.clocks.advance(max(end, run.duration))
    found = [violation for rule in rules for violation in rule.clocks.violations]
    found += liveness.finish(max(end, run.duration))
    return Verdicts(
        checked=sum(rule.clocks.checked for rule in rules) + liveness.checked,
        violations=tuple(sorted(found, key=lambda v: (v.t, str(v.invariant), v.object, v.message))),
        liveness_judged=liveness.judged,
    )
