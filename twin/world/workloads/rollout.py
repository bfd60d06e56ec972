"""How a Deployment moves from old ReplicaSets to its new one: pure arithmetic.

The rules are those of Kubernetes' deployment controller (`pkg/controller/deployment/rolling.go` and
`recreate.go`): never more pods than `maxSurge` allows, never fewer available ones than `maxUnavailable` allows,
unhealthy old pods go first.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT = "25%"  # Kubernetes docs, "Deployments": of both maxSurge and maxUnavailable


@dataclass(frozen=True, slots=True)
class Strategy:
    """How many pods more, or fewer, than wanted a rollout may have."""

    surge: int
    unavailable: int
    recreate: bool = False

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> "Strategy":
        """Reads a Deployment's spec; of percentages, surge is rounded up and unavailable down, never both to 0."""
        strategy = spec.get("strategy") or {}
        if strategy.get("type") == "Recreate":
            return cls(0, 0, recreate=True)
        rolling = strategy.get("rollingUpdate") or {}
        desired = wanted(spec)
        surge = math.ceil(_share(rolling.get("maxSurge", DEFAULT), desired))
        unavailable = math.floor(_share(rolling.get("maxUnavailable", DEFAULT), desired))
        return cls(surge, unavailable if surge or unavailable else 1)


def wanted(spec: Mapping[str, Any]) -> int:
    """`spec.replicas`, 1 if it is not given."""
    replicas = spec.get("replicas")
    return 1 if replicas is None else int(replicas)


def _share(value: int | str, of: int) -> float:
    if isinstance(value, str) and value.endswith("%"):
        return int(value[:-1]) * of / 100
    return int(value)


@dataclass(frozen=True, slots=True)
class ReplicaCounts:
    """One ReplicaSet: pods asked for, available, and there at all (terminating ones too)."""

    replicas: int = 0
    available: int = 0
    pods: int = 0


def next_sizes(
    desired: int, strategy: Strategy, new: ReplicaCounts, olds: tuple[ReplicaCounts, ...]
) -> tuple[int, tuple[int, ...]]:
    """Pods to ask for now from the new ReplicaSet and from the old ones, which are given oldest first."""
    if strategy.recreate:
        return (new.replicas if any(old.pods for old in olds) else desired), (0,) * len(olds)
    grown = _new_size(desired, strategy, new, olds)
    if grown != new.replicas:
        return grown, tuple(old.replicas for old in olds)
    return grown, _old_sizes(desired, strategy, new, olds)


def _new_size(desired: int, strategy: Strategy, new: ReplicaCounts, olds: tuple[ReplicaCounts, ...]) -> int:
    if new.replicas >= desired:
        return desired
    room = desired + strategy.surge - new.replicas - sum(old.replicas for old in olds)
    return new.replicas + max(0, min(room, desired - new.replicas))


def _old_sizes(
    desired: int, strategy: Strategy, new: ReplicaCounts, olds: tuple[ReplicaCounts, ...]
) -> tuple[int, ...]:
    least = desired - strategy.unavailable
    total = new.replicas + sum(old.replicas for old in olds)
    spare = total - least - (new.replicas - new.available)
    sizes = []
    for old in olds:  # those that serve nobody can go without being missed
        gone = max(0, min(spare, old.replicas - old.available))
        sizes.append(old.replicas - gone)
        spare -= gone
    spare = new.available + sum(min(size, old.available) for size, old in zip(sizes, olds, strict=True)) - least
    for index, size in enumerate(sizes):
        gone = max(0, min(spare, size))
        sizes[index] = size - gone
        spare -= gone
    return tuple(sizes)
