"""Invariant of adapters on demand (16): requests that wait are answered, and what is in use is not unloaded."""

from typing import ClassVar

from twin.evaluate.invariants.base import Kinds
from twin.evaluate.invariants.deadlines import TOLERANCE, DeadlineTracker
from twin.evaluate.invariants.state import ClusterState
from twin.trace.lines import AdapterLine, HeldLine, IdleLine, Line

_REFUSED = "503"
"""Cause of a request that the activator does not pass on."""


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
        self.deadlines.check(("held", line.id), False, line.t, 0.0, line.object, "")
        adapter, state = self.state.adapters.get(line.object), self.state
        if line.cause != _REFUSED or adapter is None or adapter.phase == "Failed" or adapter.deleting:
            return
        early = line.seconds < state.run.activator_timeout - TOLERANCE
        ready = state.visible_for(state.resumed_at, line.t - line.seconds) > state.detection_bound(line.t)
        if early and ready:
            message = f"the activator refused a request after {line.seconds:g} s, not {state.run.activator_timeout:g} s"
            self.deadlines.violate(line.t, line.object, message, (state.index,))

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

    def _violate(self, line: IdleLine, message: str) -> None:
        self.deadlines.violate(line.t, line.object, message, (self.state.index,))
