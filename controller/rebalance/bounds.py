"""Target of a rebalancing: the load that each pod should have. Pure.

Pods that the same adapters can use form a group. Its load is to be even: within a tolerance of the average where copies
have weights (requests in flight), else of the even number of adapters, which is lower where a pod has fewer slots.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, inf

from controller.rebalance.fleet import Fleet

EPSILON = 1e-9
"""Loads that differ by less are equal."""
_ONE = 1.0
"""Requests in flight by which a pod may always differ from the average: chance alone does that."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Load that a pod should have."""

    low: float = 0.0
    high: float = inf

    def violation(self, load: float) -> float:
        """Return the distance of a load from the bounds; 0 within them."""
        return max(load - self.high, self.low - load, 0.0)


def groups_of(fleet: Fleet) -> list[list[str]]:
    """Return the groups of pods that can exchange adapters, each by name."""
    group: dict[str, set[str]] = {}
    for allowed in {id(adapter.allowed): adapter.allowed for adapter in fleet.adapters.values()}.values():
        merged = {pod for pod in allowed if pod in fleet.slots}
        for other in {id(group[pod]): group[pod] for pod in merged if pod in group}.values():
            merged |= other
        for pod in merged:
            group[pod] = merged
    return sorted(sorted(members) for members in {id(members): members for members in group.values()}.values())


def bounds_of(fleet: Fleet, groups: Iterable[Sequence[str]], tolerance: float) -> dict[str, Bounds]:
    """Return the bounds by pod. `tolerance`: share of the even load."""
    loads = dict.fromkeys(fleet.slots, 0.0)
    for adapter in fleet.adapters.values():
        for pod in adapter.pods:
            if pod in loads:
                loads[pod] += adapter.weight
    even = _even_loads if fleet.weighted else _even_counts
    bounds = dict.fromkeys(fleet.slots, Bounds())
    for pods in groups:
        bounds |= even({pod: fleet.slots[pod] for pod in pods}, sum(loads[pod] for pod in pods), tolerance)
    return bounds


def _even_loads(slots: Mapping[str, int], total: float, tolerance: float) -> dict[str, Bounds]:
    average = total / len(slots)
    margin = max(average * tolerance, _ONE)
    return dict.fromkeys(slots, Bounds(average - margin, average + margin))


def _even_counts(slots: Mapping[str, int], total: float, tolerance: float) -> dict[str, Bounds]:
    """Return whole numbers: the tolerance is rounded up, so that one adapter more or less is never out of bounds."""
    copies = round(total)
    level = _level(slots, copies)
    filled = sum(min(slot, level) for slot in slots.values())
    lower = level if filled <= copies else level - 1
    low, high = floor(lower * (1 - tolerance) + EPSILON), ceil(level * (1 + tolerance) - EPSILON)
    return {pod: Bounds(min(low, slot), min(high, slot)) for pod, slot in slots.items()}


def _level(slots: Mapping[str, int], copies: int) -> int:
    """Return the lowest number up to which all pods have to be filled to hold the copies; all slots if they cannot."""
    left, open_ = copies, len(slots)
    filled = 0
    for slot in sorted(slots.values()):
        if filled + -(-left // open_) <= slot:
            return filled + -(-left // open_)
        left -= (slot - filled) * open_
        filled = slot
        open_ -= 1
        if not open_:
            break
    return filled
