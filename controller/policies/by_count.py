"""Policies that count adapters: `least-adapters` (which is `default`), and `bin-pack`, which also counts bytes."""

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
        ranks = [(pod.adapters >= pod.max_cpu_loras, pod.adapters, pod.name) for pod in view.candidates]
        return [name for _, _, name in nsmallest(view.count, ranks)]  # no key: it would be called for each candidate


class BinPack:
    """The fullest pods with capacity for one more: in a batch (--max-loras), else in memory (--max-cpu-loras).

    On pods with a limit of bytes also within that, the fullest by bytes first.
    """

    name: ClassVar[str] = "bin-pack"
    needs_metrics: ClassVar[bool] = False
    needs_sizes: ClassVar[bool] = True
    balances: ClassVar[bool] = False

    def choose(self, view: View) -> Sequence[str]:
        def rank(pod: Candidate) -> tuple[float | str, ...]:
            share = pod.bytes / pod.max_bytes if pod.max_bytes else 0.0
            return pod.adapters >= pod.max_loras, -share, -pod.adapters, pod.name

        candidates = [pod for pod in view.candidates if not pod.full and pod.has_memory_for(view.size)]
        return first(candidates, view.count, rank)


def first(candidates: Iterable[Candidate], count: int, rank: Rank) -> list[str]:
    """Return the names of the `count` best candidates."""
    return [pod.name for pod in nsmallest(count, candidates, key=rank)]
