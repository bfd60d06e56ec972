"""How long something has been wrong: a complaint becomes a violation if it lasts longer than its bound.

Clocks stand still while nobody can act, and start anew when somebody can (`start_anew`).
"""

from collections.abc import Hashable
from dataclasses import dataclass
from heapq import heappop, heappush

from twin.evaluate.invariants.violations import Violation

TOLERANCE = 0.001
"""Seconds: lines keep microseconds, and a wait is computed from several of them."""


@dataclass(slots=True)
class _Complaint:
    since: float
    bound: float
    object: str
    message: str
    context: tuple[int, ...]


class DeadlineTracker:
    """The complaints of one invariant."""

    def __init__(self, invariant: int) -> None:
        self.violations: list[Violation] = []
        self.checked = 0
        self.stopped = False
        self._invariant = invariant
        self._open: dict[Hashable, _Complaint] = {}
        self._due: list[tuple[float, int, Hashable]] = []
        self._number = 0
        self._told: set[Hashable] = set()

    def judge(
        self,
        key: Hashable,
        wrong: bool,
        t: float,
        bound: float,
        object_: str,
        message: str,
        context: tuple[int, ...] = (),
    ) -> None:
        """Something is (or is no longer) wrong since `t`; told of once if it lasts longer than `bound` seconds."""
        self.checked += 1
        if not wrong:
            self._open.pop(key, None)
            self._told.discard(key)
        elif key in self._open:
            self._extend(key, bound)
        elif key not in self._told:
            self._open[key] = _Complaint(t, bound, object_, message, context)
            self._schedule(key, t + bound)

    def accuse(self, t: float, object_: str, message: str, context: tuple[int, ...] = ()) -> None:
        """Something is wrong at this moment, whatever comes next."""
        self.violations.append(Violation(t, self._invariant, object_, message, context))

    def advance(self, t: float) -> None:
        """Time has come to `t`: complaints that lasted longer than they may are violations."""
        while self._due and self._due[0][0] < t:
            due, _, key = heappop(self._due)
            complaint = self._open.get(key)
            if complaint is None or complaint.since + complaint.bound != due or self.stopped:
                continue
            del self._open[key]
            self._told.add(key)
            for_ = f"{complaint.message} for longer than {complaint.bound:g} s"
            self.violations.append(Violation(round(due, 6), self._invariant, complaint.object, for_, complaint.context))

    def start_anew(self, t: float) -> None:
        """Somebody can act again: every open complaint is as young as this moment."""
        for key, complaint in self._open.items():
            complaint.since = t
            self._schedule(key, t + complaint.bound)

    def _extend(self, key: Hashable, bound: float) -> None:
        """A fault that has come since allows for more time; what it delayed stays late after it has ended."""
        complaint = self._open[key]
        if bound > complaint.bound:
            complaint.bound = bound
            self._schedule(key, complaint.since + bound)

    def _schedule(self, key: Hashable, due: float) -> None:
        self._number += 1
        heappush(self._due, (due, self._number, key))
