"""Invariant of adapters on demand (16): requests that wait are answered, and what is in use is not unloaded."""

from typing import ClassVar

from twin.evaluate.invariants.base import Kinds
from twin.evaluate.invariants.deadlines import TOLERANCE, DeadlineTracker
from twin.evaluate.invariants.state import ClusterState
from twin.trace.lines import AdapterLine, HeldLine, IdleLine, Line

_REFUSED, _GAVE_UP = "503", "ReadTimeout"
"""Causes of a request that the activator does not pass on, and of one whose client does not wait any longer."""


class OnDemandKeepsItsPromises:
    """16. A request for an idle adapter makes the operator load it, and is passed on or refused within the timeout.

    It is refused earlier only if the adapter has failed, or if the operator has just begun to lead. An adapter becomes
    idle only when no engine has had a request for it in its idle time, and a pinned one never. A request that was sent
    less than the detection bound before is excused: the metrics that decided did not have it.
    """

    kinds: ClassVar[Kinds] = frozenset({HeldLine, AdapterLine, IdleLine})

    def __init__(self, state: ClusterState) -> None:
        self.state = state
        self.deadlines = DeadlineTracker(16)
        self._wanted: set[str] = set()
        """Idle adapters that an activator has had a request for."""

    def see(self, line: Line) -> None:
        match line:
            case HeldLine(event="held"):
                self._held(line)
            case HeldLine(event="released"):
                self._released(line)
            case AdapterLine() if line.object in self._wanted and (line.phase != "Idle" or line.event == "deleted"):
                self._wanted.discard(line.object)
                self._want(line.object, line.t, wanted=False)
            case IdleLine():
                self._idle(line)

    def _held(self, line: HeldLine) -> None:
        adapter = self.state.adapters.get(line.object)
        if adapter is not None and adapter.phase == "Idle":
            self._wanted.add(line.object)
            self._want(line.object, line.t, wanted=True)
        bound = self.state.run.activator_timeout + self.state.detection_bound(line.t)
        message = f"the activator holds request {line.id}"
        self.deadlines.check(("held", line.id), True, line.t, bound, line.object, message, (self.state.index,))

    def _want(self, adapter: str, t: float, *, wanted: bool) -> None:
        message, bound = "it is Idle though a request waits for it", self.state.detection_bound(t)
        self.deadlines.check(("wanted", adapter), wanted, t, bound, adapter, message, (self.state.index,))

    def _released(self, line: HeldLine) -> None:
        state = self.state
        self.deadlines.check(("held", line.id), False, line.t, 0.0, line.object, "")
        if line.cause not in ("", _REFUSED, _GAVE_UP):
            self._forget(line)  # the operator may have crashed before it could write what it knew
        if line.cause != _REFUSED:
            return
        begun = line.t - line.seconds
        if state.is_blind or state.visible_for(state.resumed_at, begun) <= state.detection_bound(line.t):
            self._forget(line)  # by a replica that did not lead, or had just begun to
            return
        adapter = state.adapters.get(line.object)
        if adapter is None or adapter.phase == "Failed" or adapter.deleting:
            return
        if line.seconds < state.run.activator_timeout - TOLERANCE:
            limit = state.run.activator_timeout
            self._violate(line, f"the activator refused a request after {line.seconds:g} s, not {limit:g} s")

    def _forget(self, line: HeldLine) -> None:
        """Excuse the operator from knowing that an adapter is wanted."""
        if line.object in self._wanted:
            self._wanted.discard(line.object)
            self._want(line.object, line.t, wanted=False)

    def _idle(self, line: IdleLine) -> None:
        state, notice = self.state, self.state.detection_bound(line.t)
        self.deadlines.checked += 1
        if line.pinned:
            self._violate(line, "it is pinned and became Idle")
        started = line.in_progress_since
        if started is not None and line.t - started > notice:
            self._violate(line, f"it became Idle while a request of {line.t - started:.1f} s was in progress")
        if line.last_started is None or line.last_ended is None or line.t - line.last_started <= notice:
            return
        unused = line.t - line.last_ended
        wrong = TOLERANCE + state.tolerances.skew(line.last_ended, line.t)
        if unused < line.idle_seconds - wrong:
            self._violate(line, f"it became Idle {unused:.1f} s after a request, not {line.idle_seconds:g} s")

    def _violate(self, line: HeldLine | IdleLine, message: str) -> None:
        self.deadlines.violate(line.t, line.object, message, (self.state.index,))
