"""Policies that count adapters: `least-adapters` (which is `default`) and `bin-pack`."""

from collections.abc import Callable, Iterable, Sequence
from heapq import nsmallest
from typing import ClassVar

from controller.policies.interface import Candidate, View

Rank = Callable[[Candidate], tuple[float | str, ...]]


class LeastAdapters:
    """The pods with the fewest adapters, full ones last, ties by name."""

    name: ClassVar[str] = "least-adapters"
    needs_metrics: ClassVar[bool] = False
    balances: ClassVar[bool] = True

    def choose(self, view: View) -> Sequence[str]:
        return first(view.candidates, view.count, lambda pod: (pod.full, pod.adapters, pod.name))


class BinPack:
    """The fullest pods with capacity for one more: in a batch (--max-loras), else in memory (--max-cpu-loras)."""

    name: ClassVar[str] = "bin-pack"
    needs_metrics: ClassVar[bool] = False
    balances: ClassVar[bool] = False

    def choose(self, view: View) -> Sequence[str]:
        candidates = [pod for pod in view.candidates if not pod.full]
        return first(candidates, view.count, lambda pod: (pod.adapters >= pod.max_loras, -pod.adapters, pod.name))


def first(candidates: Iterable[Candidate], count: int, rank: Rank) -> list[str]:
    """Return the names of the `count` best candidates."""
    return [pod.name for pod in nsmallest(count, candidates, key=rank)]
