"""The rollout of a LeaderWorkerSet: partition and replicas of its leaders' StatefulSet.

Groups are replaced from the last to the first. Source: `rollingUpdateParameters` and `rollingUpdatePartition` in
`pkg/controllers/leaderworkerset_controller.go` of kubernetes-sigs/lws 0.9.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from twin.apiserver.meta.objects import Object
from twin.world.workloads.rollout import share


@dataclass(frozen=True, slots=True)
class Group:
    """State of one group: all its pods are ready; leader and workers have the present template, and both exist."""

    ready: bool = False
    updated: bool = False
    exists: bool = False


@dataclass(frozen=True, slots=True)
class Leaders:
    """Values of the leaders' StatefulSet.

    Attributes:
        replicas: its replicas, which include the groups of a surge.
        partition: groups before this position keep their template.
        wanted: replicas of the LeaderWorkerSet when the StatefulSet was written last.
    """

    replicas: int
    partition: int
    wanted: int


@dataclass(frozen=True, slots=True)
class GroupRollout:
    """Values of a LeaderWorkerSet's spec: groups, and how many more or fewer a rollout may have."""

    replicas: int
    surge: int = 0
    unavailable: int = 1
    partition: int = 0

    @classmethod
    def of(cls, spec: Object) -> "GroupRollout":
        """Return the rollout of a spec; percentages are rounded up for surge and down for unavailable."""
        rolling = (spec.get("rolloutStrategy") or {}).get("rollingUpdateConfiguration") or {}
        replicas = spec.get("replicas", 1)
        surge = min(math.ceil(share(rolling.get("maxSurge", 0), replicas)), replicas)
        unavailable = math.floor(share(rolling.get("maxUnavailable", 1), replicas))
        return cls(replicas, surge, unavailable, rolling.get("partition", 0))

    def next_leaders(self, current: Leaders, groups: Sequence[Group], *, is_new: bool) -> tuple[int, int]:
        """Return partition and replicas of the leaders' StatefulSet.

        Args:
            current: the StatefulSet's present values.
            groups: state of each of its groups.
            is_new: the template has changed since the StatefulSet was written.
        """
        partition, replicas = self._next(current, groups, is_new=is_new)
        return max(partition, self.partition), replicas

    def _next(self, current: Leaders, groups: Sequence[Group], *, is_new: bool) -> tuple[int, int]:
        grows = current.replicas < self.replicas
        if is_new:
            partition = min(self.replicas, current.replicas)
            return partition, self.replicas if grows else self._with_surge(self.replicas)
        if current.partition == 0 and current.replicas == self.replicas:
            return 0, self.replicas
        if grows:
            return current.partition, self.replicas
        waiting = sum(not (group.ready and group.updated) for group in groups[: self.replicas])
        waiting += max(0, self.replicas - len(groups))
        if current.wanted != self.replicas:
            return min(current.partition, self.replicas + self.surge), self._with_surge(waiting)
        step = self.unavailable + self.surge - (self.replicas + self.surge - current.replicas)
        return _partition(groups, step, current.partition), self._with_surge(waiting)

    def _with_surge(self, waiting: int) -> int:
        """Return the replicas while `waiting` groups are not yet updated and ready."""
        if waiting > self.surge:
            return self.replicas + self.surge
        return self.replicas + max(0, waiting - self.unavailable)


def _partition(groups: Sequence[Group], step: int, current: int) -> int:
    """Return the next partition: `step` groups below those at the end that are done, and never above `current`."""
    done = 0
    for group in reversed(groups):
        if not (group.ready and group.updated):
            break
        done += 1
    lowest = max(0, len(groups) - done - step)
    partition = lowest + sum(not group.ready for group in groups[:lowest])
    for index in range(min(partition, len(groups) - 1), lowest - 1, -1):
        if groups[index].ready and not groups[index].updated:
            break
        partition = index
    return min(partition, current)
