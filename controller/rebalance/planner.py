"""Plan of a rebalancing: the moves that bring the whole fleet within its target. Pure.

A plan never puts more adapters on a pod than it has slots, at no step, and never changes the number of copies. A second
plan for what the first one leads to is empty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, Protocol

from controller.rebalance.bounds import EPSILON, Bounds, bounds_of, groups_of
from controller.rebalance.fleet import Fleet, Move
from controller.rebalance.greedy import Greedy
from controller.rebalance.layout import Layout
from controller.rebalance.min_cost_flow import MinCostFlow

NONE = "none"
"""Moves nothing."""


class Algorithm(Protocol):
    """Chooses moves within one group of pods."""

    name: ClassVar[str]
    weighted: ClassVar[bool]
    """True if it takes copies of different weights."""

    def improve(self, layout: Layout, pods: Sequence[str]) -> None:
        """Hand copies over between the pods, until they are within their bounds or it finds nothing better."""
        ...


ALGORITHMS: Mapping[str, type[Algorithm]] = MappingProxyType(
    {algorithm.name: algorithm for algorithm in (Greedy, MinCostFlow)}
)
"""By name, without `none`."""


def rebalance_problem(algorithm: str, by: str) -> str:
    """Return why two settings exclude each other; empty if they do not."""
    if by == "requests" and algorithm in ALGORITHMS and not ALGORITHMS[algorithm].weighted:
        weighted = ", ".join(name for name in ALGORITHMS if ALGORITHMS[name].weighted)
        return f"{algorithm} counts adapters and cannot weigh their requests; allowed with requests: {weighted}"
    return ""


@dataclass(frozen=True, slots=True)
class RebalancePlan:
    """Moves, and the loads and bounds because of which they are made."""

    moves: tuple[Move, ...]
    """In an order in which they can be made one after the other."""
    loads: Mapping[str, float]
    """Present load, by pod."""
    bounds: Mapping[str, Bounds]
    held: Mapping[str, str] = field(default_factory=dict)
    """Pods of groups that are left alone, with the reason."""


def plan_moves(
    fleet: Fleet, algorithm: Algorithm, tolerance: float, unsettled: Mapping[str, str] | None = None
) -> RebalancePlan:
    """Return the fewest moves that the algorithm finds.

    Args:
        fleet: pods and adapters.
        algorithm: one of `ALGORITHMS`.
        tolerance: share of the even load by which a pod may differ from it.
        unsettled: pods whose groups are left alone, with the reason: a rollout or a failure is under way.
    """
    groups = groups_of(fleet)
    layout = Layout(fleet, bounds_of(fleet, groups, tolerance))
    loads, held = dict(layout.loads), dict[str, str]()
    for pods in groups:
        cause = next((f"pod {pod} {unsettled[pod]}" for pod in pods if pod in unsettled), "") if unsettled else ""
        if cause:
            held |= dict.fromkeys(pods, cause)
        elif any(layout.bounds[pod].violation(loads[pod]) > EPSILON for pod in pods):
            algorithm.improve(layout, pods)
    return RebalancePlan(layout.moves(), loads, layout.bounds, held)
