"""Policies that draw: `random`, and `power-of-two`, which needs to look at two pods only and does nearly as well as
one that looks at all (Mitzenmacher 2001)."""

from collections.abc import Sequence
from typing import ClassVar

from controller.policies.interface import View


class RandomChoice:
    """Pods drawn at random, each as likely as the next."""

    name: ClassVar[str] = "random"
    needs_metrics: ClassVar[bool] = False

    def choose(self, view: View) -> Sequence[str]:
        drawn = view.chance().sample(view.candidates, min(view.count, len(view.candidates)))
        return [pod.name for pod in drawn]


class PowerOfTwo:
    """For each place, two pods drawn at random; the one with fewer adapters takes it."""

    name: ClassVar[str] = "power-of-two"
    needs_metrics: ClassVar[bool] = False

    def choose(self, view: View) -> Sequence[str]:
        chance, left = view.chance(), list(view.candidates)
        chosen = []
        for _ in range(min(view.count, len(left))):
            pair = chance.sample(left, min(2, len(left)))
            best = min(pair, key=lambda pod: (pod.full, pod.adapters))
            left.remove(best)
            chosen.append(best.name)
        return chosen
