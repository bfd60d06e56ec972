"""Algorithm `greedy`: the most overloaded pods give, the emptiest take. Pure.

Each move brings the fleet closer to its target, so the algorithm ends. A copy is moved directly to its place: a plan
that needs a chain (a copy leaves a pod to make room for another) is not found.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from typing import ClassVar

from controller.rebalance.bounds import EPSILON
from controller.rebalance.layout import Layout

Step = tuple[str, str, str]
"""Adapter, source and target."""


class Greedy:
    """The fullest pod gives to the emptiest, one copy at a time, until all are within the tolerance."""

    name: ClassVar[str] = "greedy"
    weighted: ClassVar[bool] = True

    def improve(self, layout: Layout, pods: Sequence[str]) -> None:
        """Move copies between the pods of one group until no single move helps."""
        ranking = _Ranking(layout, pods)
        moved = True
        while moved:  # a pod that no move helps is tried again when other pods have changed
            moved = False
            for steps in (ranking.relieve, ranking.fill):
                stuck: set[str] = set()
                while (step := steps(stuck)) is not None:
                    ranking.hand_over(step)
                    moved = True


class _Ranking:
    """Pods of one group in order of load, the lowest first."""

    def __init__(self, layout: Layout, pods: Sequence[str]) -> None:
        self._layout = layout
        self._order = sorted((layout.loads[pod], pod) for pod in pods)

    def hand_over(self, step: Step) -> None:
        """Make a move, and keep the order."""
        adapter, source, target = step
        for pod in (source, target):
            del self._order[bisect_left(self._order, (self._layout.loads[pod], pod))]
        self._layout.hand_over(adapter, source, target)
        for pod in (source, target):
            insort(self._order, (self._layout.loads[pod], pod))

    def relieve(self, stuck: set[str]) -> Step | None:
        """Return a move from the fullest pod above its bounds to the emptiest that can take it."""
        for load, source in reversed(self._order):
            excess = load - self._layout.bounds[source].high
            if excess <= EPSILON or source in stuck:
                continue
            for adapter, weight in _nearest(self._layout.on[source], excess, least=True):
                for _, target in self._order:
                    if self._helps(adapter, weight, source, target):
                        return adapter, source, target
            stuck.add(source)
        return None

    def fill(self, stuck: set[str]) -> Step | None:
        """Return a move to the emptiest pod below its bounds from the fullest that can give."""
        for load, target in self._order:
            missing = self._layout.bounds[target].low - load
            if missing <= EPSILON or target in stuck:
                continue
            for _, source in reversed(self._order):
                for adapter, weight in _nearest(self._layout.on[source], missing, least=False):
                    if self._helps(adapter, weight, source, target):
                        return adapter, source, target
            stuck.add(target)
        return None

    def _helps(self, adapter: str, weight: float, source: str, target: str) -> bool:
        """Return whether a move brings the fleet closer to its target without overloading the pod that takes."""
        layout = self._layout
        return (
            layout.loads[target] + weight <= layout.bounds[target].high + EPSILON
            and layout.has_slot(target)
            and layout.takes(adapter, target)
            and layout.gain(weight, source, target) > EPSILON
        )


def _nearest(copies: dict[str, float], amount: float, *, least: bool) -> Iterator[tuple[str, float]]:
    """Yield copies, those first that settle an amount best.

    `least`: the smallest that is enough, then the largest; otherwise the largest that is not too much, then the
    smallest.
    """

    def rank(copy: tuple[str, float]) -> tuple[bool, float, str]:
        name, weight = copy
        if least:
            enough = weight >= amount - EPSILON
            return not enough, weight if enough else -weight, name
        fits = weight <= amount + EPSILON
        return not fits, -weight if fits else weight, name

    yield from sorted(copies.items(), key=rank)
