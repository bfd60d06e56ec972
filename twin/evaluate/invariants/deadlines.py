"""Violations and deadlines of one invariant: a wrong state that lasts longer than its bound becomes a violation.

Deadlines are suspended while no replica can act, and restart when one can (`reset`).
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from heapq import heappop, heappush

Restart = Callable[[Hashable, float], tuple[float, float]]
"""Given a key whose deadline is over and the time, returns (since when it has been wrong without an excuse, bound)."""

TOLERANCE = 0.001
"""Seconds. Trace lines are rounded to microseconds, and a wait is the difference of several of them."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One violation of an invariant."""

    t: float
    """Seconds since the start of the run."""
    invariant: int | str
    """Number of the invariant, or `liveness`."""
    object: str
    message: str
    context: tuple[int, ...] = ()
    """Indices of the trace lines around it."""


@dataclass(slots=True)
class _Complaint:
    since: float
    bound: float
    object: str
    message: str
    context: tuple[int, ...]


class DeadlineTracker:
    """Deadlines and violations of one invariant.

    With `restart`, tolerances of a wrong state are evaluated only when its deadline is over. With `own_excuses`,
    `restart` knows all tolerances, and the deadlines are neither suspended nor reset.
    """

    def __init__(self, invariant: int, restart: Restart | None = None, *, own_excuses: bool = False) -> None:
        self.violations: list[Violation] = []
        self.checked = 0
        self.stopped = False
        self._invariant = invariant
        self._restart = restart
        self._own_excuses = own_excuses
        self.due: list[tuple[float, int, Hashable]] = []
        """Heap of (time, number, key); `advance` has something to do once the first time is over."""
        self._open: dict[Hashable, _Complaint] = {}
        self._number = 0
        self._reported: set[Hashable] = set()

    def check(
        self,
        key: Hashable,
        wrong: bool,
        t: float,
        bound: float,
        object_: str,
        message: str,
        context: tuple[int, ...] = (),
    ) -> None:
        """Record that `key` is (or no longer is) wrong at `t`; a violation if it stays wrong for `bound` seconds."""
        self.checked += 1
        if not wrong:
            if self._open:
                self._open.pop(key, None)
            if self._reported:
                self._reported.discard(key)
        elif key in self._open:
            self._extend(key, bound)
        elif key not in self._reported:
            self._open[key] = _Complaint(t, bound, object_, message, context)
            self._schedule(key, t + bound)

    def violate(self, t: float, object_: str, message: str, context: tuple[int, ...] = ()) -> None:
        """Add a violation that no later line can revoke."""
        self.violations.append(Violation(t, self._invariant, object_, message, context))

    def advance(self, t: float) -> None:
        """Advance the time to `t`: states that stayed wrong past their deadline become violations."""
        while self.due and self.due[0][0] < t:
            due, _, key = heappop(self.due)
            complaint = self._open.get(key)
            stopped = self.stopped and not self._own_excuses
            if complaint is None or complaint.since + complaint.bound != due or stopped:
                continue
            if self._restart is not None:
                complaint.since, complaint.bound = self._restart(key, due)
                if complaint.since + complaint.bound > due:
                    self._schedule(key, complaint.since + complaint.bound)
                    continue
            del self._open[key]
            self._reported.add(key)
            message = f"{complaint.message} for longer than {complaint.bound:g} s"
            self.violations.append(
                Violation(round(due, 6), self._invariant, complaint.object, message, complaint.context)
            )

    def reset(self, t: float) -> None:
        """Restart every open deadline at `t`, because a replica can act again."""
        if self._own_excuses:
            return
        for key, complaint in self._open.items():
            complaint.since = t
            self._schedule(key, t + complaint.bound)

    def _extend(self, key: Hashable, bound: float) -> None:
        """Extend a deadline, because a fault has begun since; the extension outlasts the fault."""
        complaint = self._open[key]
        if bound > complaint.bound:
            complaint.bound = bound
            self._schedule(key, complaint.since + bound)

    def _schedule(self, key: Hashable, due: float) -> None:
        self._number += 1
        heappush(self.due, (due, self._number, key))
