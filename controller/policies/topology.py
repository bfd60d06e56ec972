"""Policies for failures and changes: `spread` separates replicas, `rendezvous` keeps adapters in place."""

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from typing import ClassVar

from controller.policies.by_count import first
from controller.policies.interface import Candidate, View


class Spread:
    """Zones first, then nodes with the fewest replicas of this adapter, then the pods with the fewest adapters."""

    name: ClassVar[str] = "spread"
    needs_metrics: ClassVar[bool] = False
    balances: ClassVar[bool] = False

    def choose(self, view: View) -> Sequence[str]:
        zones = Counter(pod.zone for pod in view.placed)
        nodes = Counter(pod.node for pod in view.placed)

        def rank(pod: Candidate) -> tuple[float | str, ...]:
            return pod.full, zones[pod.zone], nodes[pod.node], pod.adapters, pod.name

        remaining, chosen = list(view.candidates), []
        for _ in range(min(view.count, len(remaining))):
            best = min(remaining, key=rank)
            remaining.remove(best)
            zones[best.zone] += 1
            nodes[best.node] += 1
            chosen.append(best.name)
        return chosen


class Rendezvous:
    """The pods with the highest hash of adapter and pod: when pods come and go, few adapters move (full pods last)."""

    name: ClassVar[str] = "rendezvous"
    needs_metrics: ClassVar[bool] = False
    balances: ClassVar[bool] = False

    def choose(self, view: View) -> Sequence[str]:
        def rank(pod: Candidate) -> tuple[float | str, ...]:
            digest = sha256(f"{view.adapter}\0{pod.name}".encode()).digest()
            return pod.full, -int.from_bytes(digest), pod.name

        return first(view.candidates, view.count, rank)
