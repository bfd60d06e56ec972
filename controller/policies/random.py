"""Random policies: `random` and `power-of-two`.

Comparing two random pods balances nearly as well as comparing all pods (Mitzenmacher 2001).
"""

from collections.abc import Sequence
from typing import ClassVar

from controller.policies.interface import View


class RandomChoice:
    """Pods chosen uniformly at random."""

    name: ClassVar[str] = "random"
    needs_metrics: ClassVar[bool] = False
    balances: ClassVar[bool] = True

    def choose(self, view: View) -> Sequence[str]:
        chosen = view.random().sample(view.candidates, min(view.count, len(view.candidates)))
        return [pod.name for pod in chosen]


class PowerOfTwo:
    """For each replica, the one of two random pods that has fewer adapters."""

    name: ClassVar[str] = "power-of-two"
    needs_metrics: ClassVar[bool] = False
    balances: ClassVar[bool] = True

    def choose(self, view: View) -> Sequence[str]:
        rng, remaining = view.random(), list(view.candidates)
        chosen = []
        for _ in range(min(view.count, len(remaining))):
            pair = rng.sample(remaining, min(2, len(remaining)))
            best = min(pair, key=lambda pod: (pod.full, pod.adapters))
            remaining.remove(best)
            chosen.append(best.name)
        return chosen
