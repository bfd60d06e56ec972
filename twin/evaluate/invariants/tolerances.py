"""Tolerances granted to a correct operator because of faults: suspended deadlines, additional delay, clock error.

While a fault prevents the leader from reading or writing, deadlines are suspended; they restart when the fault has
ended and the operator's own retry delay is over (`PATIENCE`). A slow API server delays a reaction by as many requests
as it takes. A clock offset shifts every time that is measured with that clock.
"""

from math import inf

from twin.trace.lines import FaultLine

PATIENCE = 30.0
"""Seconds. Longest retry delay of a correct controller, such as client-go's reflector and this operator's queue."""
CHAIN = 10
"""Requests between a change and the reaction to it: the watch event, the rest of the running reconciliation, a
conflict, and the reconciliation that reacts."""

SILENCE = 160.0
"""Seconds after which a correct operator knows that its watches are silent and has listed everything.

API servers send a bookmark every minute; two and a half minutes without one are no accident."""

_DISTURB_ENGINES = frozenset(
    {
        "connection-refused",
        "connection-reset",
        "timeout",
        "slow",
        "http-error",
        "unauthorized",
        "invalid-adapter",
        "node-down",
        "partition",
        "latency",
    }
)
_DISTURB_API = frozenset(
    {
        "api-conflict",
        "api-throttle",
        "api-error",
        "api-forbidden",
        "api-invalid",
        "conflict-storm",
        "watch-drop",
        "stale-reads",
    }
)


_WITHDRAWAL_NEEDS = frozenset({"pods", "endpointslices", "leases"})
"""Resources that a withdrawal needs: watches of pods, writes of slices, and renewals of the Lease."""


def hinders_withdrawal(line: FaultLine) -> bool:
    """Return whether a fault may keep a correct operator from withdrawing the endpoint of a dead pod."""
    if line.fault not in _DISTURB_API:
        return False
    return not line.targets or not _WITHDRAWAL_NEEDS.isdisjoint(line.targets)


def settled_at(line: FaultLine) -> float:
    """Return the time at which the effects of a fault are over: retries, late responses and clock errors."""
    if line.fault in _DISTURB_API:
        return line.t + PATIENCE + line.seconds
    return line.t + (CHAIN if line.fault == "api-slow" else 1) * line.seconds


class Tolerances:
    """Tolerances at the current line. `notice`: seconds that a reaction may take without any fault."""

    def __init__(self, notice: float) -> None:
        self.lasting: dict[int, list[FaultLine]] = {}
        """Active faults by id."""
        self.patient_until: float | None = None
        """End of the grace period after a fault that prevented reading or writing."""
        self._notice = notice
        self._late: dict[int, tuple[float, float]] = {}
        self._skews: dict[int, list[tuple[float, float, float]]] = {}
        self._slow: dict[int, list[tuple[float, float, float]]] = {}

    def see(self, line: FaultLine) -> None:
        """Apply the next fault line."""
        if line.event == "begin":
            self.lasting.setdefault(line.id, []).append(line)
        elif line.event == "end":
            self.lasting.pop(line.id, None)
        match line.fault:
            case "api-slow" if line.event != "strike":
                longer = CHAIN * line.seconds
                self._late[line.id] = (longer, inf if line.event == "begin" else settled_at(line))
                _span(self._slow, line)
            case "watch-freeze" if line.event != "strike":
                self._late[line.id] = (SILENCE, inf if line.event == "begin" else line.t)
            case "clock-skew":
                _span(self._skews, line)
            case kind if kind in _DISTURB_API and line.event == "end":
                self.patient_until = max(self.patient_until or 0.0, settled_at(line))

    def patience_over(self) -> None:
        """End the grace period."""
        self.patient_until = None

    @property
    def is_blinded(self) -> bool:
        """True while a fault prevents the leader from reading or writing, and during the grace period after it."""
        if not self.lasting:
            return self.patient_until is not None
        return self.patient_until is not None or any(lines[0].fault in _DISTURB_API for lines in self.lasting.values())

    def detection_bound(self, t: float) -> float:
        """Return the seconds that the operator may take at `t` to react to a change that the API server shows."""
        if not self._late:
            return self._notice
        return self._notice + sum(longer for longer, until in self._late.values() if t <= until)

    def skew(self, since: float, t: float) -> float:
        """Return the seconds by which a time measured from `since` to `t` may be wrong."""
        if not self._skews:
            return 0.0
        spans = [span for spans in self._skews.values() for span in spans]
        return sum(seconds for begin, end, seconds in spans if begin <= t and end >= since)

    def write_latency(self, t: float) -> float:
        """Return the seconds by which a write that ended at `t` may have been slower than without faults."""
        return sum(
            seconds for spans in self._slow.values() for begin, end, seconds in spans if begin <= t <= end + seconds
        )

    def is_disturbed(self, pod: str, node: str) -> bool:
        """Return whether an active fault disturbs the operator's requests to the pod's engine."""
        return any(
            line.fault in _DISTURB_ENGINES and (pod in line.targets or node in line.targets)
            for lines in self.lasting.values()
            for line in lines
        )


def _span(spans: dict[int, list[tuple[float, float, float]]], line: FaultLine) -> None:
    """Add the begin or the end of a fault to its spans (begin, end, magnitude), in seconds."""
    own = spans.setdefault(line.id, [])
    if line.event == "begin":
        own.append((line.t, inf, line.seconds))
    elif own:
        own[-1] = (own[-1][0], line.t, line.seconds)


def tolerance_text(kind: str) -> str:
    """Return the tolerance that a kind of fault grants, as a sentence for its documentation."""
    if kind in _DISTURB_API:
        return (
            "While the fault is active, and for the longest retry delay of a correct operator after it (30 s), the "
            "deadlines of invariants 1, 2, 3 and 6 are suspended; then they restart."
        )
    if kind in _DISTURB_ENGINES:
        return (
            "While the fault is active, the operator is not blamed for a state that only requests to the affected "
            "engines would have shown."
        )
    return {
        "api-slow": f"A reaction may take as long as {CHAIN} more requests, the longest possible chain.",
        "watch-freeze": f"A reaction may take {SILENCE:g} s longer: an operator lists again when a watch is silent.",
        "watch-expired": "Reaction times are measured from the new list.",
        "version-rollback": "Reaction times are measured from the new list.",
        "clock-skew": "Waits and pod stability may be off by as much as the clock is.",
        "controller-crash": "While no replica leads, deadlines are suspended; they restart with the next leader.",
        "leader-loss": "While no replica leads, deadlines are suspended; they restart with the next leader.",
    }.get(kind, "None: the operator has to react in time to what the API server shows.")
