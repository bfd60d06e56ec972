"""What faults excuse an honest operator from: for how long it cannot see or write, how late it may be, how wrong its
clock.

The rules are the contract's. While a fault keeps the one that leads from seeing or from writing, clocks stand still;
they start anew when it has ended and the operator's own wait for its next try is over (`PATIENCE`). A slow API server
makes everything later, by as much as the requests that lie between a change and what is made of it. A clock that
jumps shifts whatever is measured with it.
"""

from math import inf

from twin.trace.lines import FaultLine

PATIENCE = 30.0
"""Seconds; the longest wait between two tries of an honest controller, client-go's reflector's and this one's queue."""
CHAIN = 10
"""Requests that may lie between a change and what is made of it: the watch's, those of a pass that is under way, a
conflict, those of the pass that answers."""

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
_DISTURB_API = frozenset({"api-conflict", "api-throttle", "api-error", "watch-drop", "stale-reads"})


def settled_at(line: FaultLine) -> float:
    """When an operator has got over what a line says: it has tried again, late answers are in, clocks are right."""
    if line.fault in _DISTURB_API:
        return line.t + PATIENCE + line.seconds
    return line.t + (CHAIN if line.fault == "api-slow" else 1) * line.seconds


class Tolerances:
    """Goes along with the record's faults. `notice` is what an operator may take when nothing is wrong, in seconds."""

    def __init__(self, notice: float) -> None:
        self.lasting: dict[int, list[FaultLine]] = {}
        """Faults that last, by id."""
        self.patient_until: float | None = None
        """When the operator will have tried again after a fault that kept it from seeing or writing."""
        self._notice = notice
        self._late: dict[int, tuple[float, float]] = {}
        self._skews: dict[int, list[tuple[float, float, float]]] = {}

    def see(self, line: FaultLine) -> None:
        """Takes the next fault's line."""
        if line.event == "begin":
            self.lasting.setdefault(line.id, []).append(line)
        elif line.event == "end":
            self.lasting.pop(line.id, None)
        match line.fault:
            case "api-slow" if line.event != "strike":
                longer = CHAIN * line.seconds
                self._late[line.id] = (longer, inf if line.event == "begin" else settled_at(line))
            case "clock-skew":
                self._skew(line)
            case kind if kind in _DISTURB_API and line.event == "end":
                self.patient_until = max(self.patient_until or 0.0, settled_at(line))

    def waited(self) -> None:
        """The time to be patient is over."""
        self.patient_until = None

    @property
    def blinded(self) -> bool:
        """Whether a fault keeps the one that leads from seeing or writing, or did until just now."""
        return self.patient_until is not None or any(lines[0].fault in _DISTURB_API for lines in self.lasting.values())

    def notice(self, t: float) -> float:
        """Seconds that an operator may take at `t` to notice what the API server shows, and to act on it."""
        return self._notice + sum(longer for longer, until in self._late.values() if t <= until)

    def skew(self, since: float, t: float) -> float:
        """Seconds by which what was measured from `since` to `t` may be wrong."""
        spans = [span for spans in self._skews.values() for span in spans]
        return sum(seconds for begin, end, seconds in spans if begin <= t and end >= since)

    def disturbed(self, pod: str, node: str) -> bool:
        """Whether a fault keeps the operator from asking the pod's engine, or from being understood."""
        return any(
            line.fault in _DISTURB_ENGINES and (pod in line.targets or node in line.targets)
            for lines in self.lasting.values()
            for line in lines
        )

    def _skew(self, line: FaultLine) -> None:
        spans = self._skews.setdefault(line.id, [])
        if line.event == "begin":
            spans.append((line.t, inf, line.seconds))
        elif spans:
            spans[-1] = (spans[-1][0], line.t, line.seconds)


def tolerance_text(kind: str) -> str:
    """What a kind of fault excuses an honest operator from, in a sentence for its page."""
    if kind in _DISTURB_API:
        return (
            "While it lasts, and for as long after as an honest operator may wait for its next try (30 s), nobody is "
            "blamed for what he could not see or write: the clocks of invariants 1, 2, 3 and 6 stand still, and then "
            "start anew."
        )
    if kind in _DISTURB_ENGINES:
        return (
            "While it lasts, the operator is not blamed for what only asking the engines that are hit would have shown."
        )
    return {
        "api-slow": f"While it lasts, an operator may be late by {CHAIN} requests more, so many may lie in one chain.",
        "watch-expired": "What must be noticed in time is reckoned from the new list on.",
        "clock-skew": "Waits, and the time for which a pod must have been ready, may be off by as much as the clock.",
        "controller-crash": "While nobody leads, clocks stand still; they start anew with the next leader.",
        "leader-loss": "While nobody leads, clocks stand still; they start anew with the next leader.",
    }.get(kind, "It excuses nothing: what the API server shows has to be noticed in time.")
