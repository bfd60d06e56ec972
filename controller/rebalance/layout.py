"""Copies by pod while a plan is made. Pure."""

from collections.abc import Iterator, Mapping

from controller.rebalance.bounds import EPSILON, Bounds
from controller.rebalance.fleet import Fleet, Move


class Layout:
    """Copies of a fleet; an algorithm hands them over from pod to pod."""

    def __init__(self, fleet: Fleet, bounds: Mapping[str, Bounds]) -> None:
        self.fleet = fleet
        self.bounds = bounds
        self.on: dict[str, dict[str, float]] = {pod: {} for pod in fleet.slots}
        """Weights of the movable copies on each pod, by adapter."""
        self.loads = dict.fromkeys(fleet.slots, 0.0)
        self.counts = dict.fromkeys(fleet.slots, 0)
        self.holders: dict[str, set[str]] = {}
        """Pods of each movable adapter."""
        self._touched: set[str] = set()
        """Adapters of which a copy was handed over."""
        for name, adapter in fleet.adapters.items():
            if adapter.movable:
                self.holders[name] = set(adapter.pods)
            for pod in adapter.pods:
                if pod in self.loads:
                    self.loads[pod] += adapter.weight
                    self.counts[pod] += 1
                    if adapter.movable:
                        self.on[pod][name] = adapter.weight
        self._first_loads, self._first_counts = dict(self.loads), dict(self.counts)

    def takes(self, adapter: str, pod: str) -> bool:
        """Return whether a copy may be put on the pod, if it has a free slot."""
        return pod in self.fleet.adapters[adapter].allowed and pod not in self.holders[adapter]

    def has_slot(self, pod: str) -> bool:
        """Return whether the pod has a free slot."""
        return self.counts[pod] < self.fleet.slots[pod]

    def gain(self, weight: float, source: str, target: str) -> float:
        """Return by how much a move of this weight brings both pods closer to their bounds."""
        before = self.bounds[source].violation(self.loads[source]) + self.bounds[target].violation(self.loads[target])
        after = self.bounds[source].violation(self.loads[source] - weight)
        return before - after - self.bounds[target].violation(self.loads[target] + weight)

    def hand_over(self, adapter: str, source: str, target: str) -> None:
        """Put a copy on another pod."""
        weight = self.on[source].pop(adapter)
        self.on[target][adapter] = weight
        self.loads[source] -= weight
        self.loads[target] += weight
        self.counts[source] -= 1
        self.counts[target] += 1
        self._touched.add(adapter)
        self.holders[adapter].remove(source)
        self.holders[adapter].add(target)

    def moves(self) -> tuple[Move, ...]:
        """Return the moves that lead here, in an order in which no pod ever exceeds its slots.

        Moves from the pods with the highest load come first. Moves that only a swap of two full pods would allow are
        left out.
        """
        loads, counts, slots = self._first_loads, dict(self._first_counts), self.fleet.slots
        waiting = sorted(self._differences(), key=lambda move: (-loads[move.source], move))
        done: list[Move] = []
        while waiting:
            left = []
            for move in waiting:
                if counts[move.target] < slots[move.target]:
                    counts[move.source] -= 1
                    counts[move.target] += 1
                    done.append(move)
                else:
                    left.append(move)
            if len(left) == len(waiting):
                break
            waiting = left
        return tuple(done)

    def _differences(self) -> Iterator[Move]:
        """Yield one move for each copy that is not where it was."""
        for name in sorted(self._touched):
            pods, before = self.holders[name], self.fleet.adapters[name].pods
            for source, target in zip(sorted(before - pods), sorted(pods - before), strict=True):
                yield Move(name, source, target)


def violations(layout: Layout) -> list[str]:
    """Return the pods that are out of bounds, the worst first."""
    worst = {pod: layout.bounds[pod].violation(load) for pod, load in layout.loads.items()}
    return sorted((pod for pod in worst if worst[pod] > EPSILON), key=lambda pod: (-worst[pod], pod))
