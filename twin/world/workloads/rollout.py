"""Arithmetic of a rollout from old ReplicaSets to the new one.

The rules are those of Kubernetes' deployment controller (`pkg/controller/deployment/rolling.go` and `recreate.go`):
never more pods than `maxSurge` allows, never fewer available ones than `maxUnavailable` allows, unhealthy old pods
first.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DEFAULT = "25%"  # Kubernetes docs, "Deployments": default of maxSurge and maxUnavailable


@dataclass(frozen=True, slots=True)
class Strategy:
    """Number of pods above or below the desired one that a rollout may have."""

    surge: int
    unavailable: int
    recreate: bool = False

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> "Strategy":
        """Return the strategy of a Deployment's spec.

        Percentages are rounded up for surge and down for unavailable; they are never both 0.
        """
        strategy = spec.get("strategy") or {}
        if strategy.get("type") == "Recreate":
            return cls(0, 0, recreate=True)
        rolling = strategy.get("rollingUpdate") or {}
        desired = desired_replicas(spec)
        surge = math.ceil(share(rolling.get("maxSurge", DEFAULT), desired))
        unavailable = math.floor(share(rolling.get("maxUnavailable", DEFAULT), desired))
        return cls(surge, unavailable if surge or unavailable else 1)


def desired_replicas(spec: Mapping[str, Any]) -> int:
    """Return `spec.replicas`, 1 by default."""
    replicas = spec.get("replicas")
    return 1 if replicas is None else int(replicas)


def share(value: int | str, of: int) -> float:
    """Return a number, or the percentage of `of`."""
    if isinstance(value, str) and value.endswith("%"):
        return int(value[:-1]) * of / 100
    return int(value)


@dataclass(frozen=True, slots=True)
class ReplicaCounts:
    """Pods of one ReplicaSet: desired, available, and existing (terminating ones included)."""

    replicas: int = 0
    available: int = 0
    pods: int = 0


def next_sizes(
    desired: int, strategy: Strategy, new: ReplicaCounts, olds: tuple[ReplicaCounts, ...]
) -> tuple[int, tuple[int, ...]]:
    """Return the replicas to set now for the new ReplicaSet and for the old ones, oldest first."""
    if strategy.recreate:
        return (new.replicas if any(old.pods for old in olds) else desired), (0,) * len(olds)
    size = _new_size(desired, strategy, new, olds)
    if size != new.replicas:
        return size, tuple(old.replicas for old in olds)
    return size, _old_sizes(desired, strategy, new, olds)


def _new_size(desired: int, strategy: Strategy, new: ReplicaCounts, olds: tuple[ReplicaCounts, ...]) -> int:
    if new.replicas >= desired:
        return desired
    allowed = desired + strategy.surge - new.replicas - sum(old.replicas for old in olds)
    return new.replicas + max(0, min(allowed, desired - new.replicas))


def _old_sizes(
    desired: int, strategy: Strategy, new: ReplicaCounts, olds: tuple[ReplicaCounts, ...]
) -> tuple[int, ...]:
    minimum = desired - strategy.unavailable
    total = new.replicas + sum(old.replicas for old in olds)
    spare = total - minimum - (new.replicas - new.available)
    sizes = []
    for old in olds:  # unavailable pods first
        removed = max(0, min(spare, old.replicas - old.available))
        sizes.append(old.replicas - removed)
        spare -= removed
    spare = new.available + sum(min(size, old.available) for size, old in zip(sizes, olds, strict=True)) - minimum
    for index, size in enumerate(sizes):
        removed = max(0, min(spare, size))
        sizes[index] = size - removed
        spare -= removed
    return tuple(sizes)


def is_saturated(desired: int, new: ReplicaCounts, announced: int | None) -> bool:
    """Return True if the new ReplicaSet has all pods available; `announced` is the size in its annotation."""
    return new.replicas == desired == announced and new.available == desired


def proportional_sizes(
    desired: int, strategy: Strategy, active: Sequence[ReplicaCounts], max_before: Sequence[int]
) -> tuple[int, ...]:
    """Return the replicas of active ReplicaSets after a Deployment was scaled within a rollout.

    Pods are added or removed in proportion to the sizes; the largest set gets what is left. Source:
    `pkg/controller/deployment/util/deployment_util.go`, `GetReplicaSetProportion`.

    Args:
        desired: replicas of the Deployment.
        strategy: its strategy.
        active: ReplicaSets with pods: the largest first; among equals the newest first if pods are added.
        max_before: most pods that were allowed when each ReplicaSet was sized last.
    """
    allowed = desired + strategy.surge if desired > 0 else 0
    to_add, added, sizes = allowed - sum(item.replicas for item in active), 0, []
    for counts, before in zip(active, max_before, strict=True):
        part = 0
        if counts.replicas and to_add != added:
            whole = -counts.replicas if desired == 0 else _rounded(counts.replicas * allowed / before) - counts.replicas
            part = min(whole, to_add - added) if to_add > 0 else max(whole, to_add - added)
        sizes.append(counts.replicas + part)
        added += part
    if sizes:
        sizes[0] = max(0, sizes[0] + to_add - added)
    return tuple(sizes)


def _rounded(value: float) -> int:
    """Return the nearest integer, halves away from zero."""
    return math.floor(value + 0.5)
