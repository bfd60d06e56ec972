"""The pods of one role of a RoleSet: which to create and which to delete now.

Source: `Scale`, `Rollout` and `AllReady` of `StatefulRoleSyncer` and `StatelessRoleSyncer` in
`pkg/controller/roleset/rolesyncer.go` of vllm-project/aibrix 0.7. A stateful role has numbered slots; during an update
a slot may have an old and a new pod. Not simulated: updates in place (`InPlaceIfPossible`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from twin.apiserver.meta.objects import Object
from twin.world.workloads.rollout import share


@dataclass(frozen=True, slots=True)
class RolePod:
    """State of one pod, as far as it decides.

    Attributes:
        name: its name.
        slot: its number in a stateful role; None without one.
        updated: it has the role's present template.
        ready: its condition `Ready` is True.
        terminating: it is being deleted.
        finished: its phase is Failed or Succeeded.
    """

    name: str
    slot: int | None = None
    updated: bool = True
    ready: bool = False
    terminating: bool = False
    finished: bool = False

    @property
    def active(self) -> bool:
        """True unless it is ending or has ended."""
        return not self.terminating and not self.finished


@dataclass(frozen=True, slots=True)
class Role:
    """Values of a role: pods, and how many more or fewer an update may have."""

    replicas: int
    stateful: bool = False
    surge: int = 0
    unavailable: int = 1

    @classmethod
    def of(cls, spec: Object) -> "Role":
        """Return the role of a spec; both limits are 0 by default and never both 0 (`ResolveFenceposts`)."""
        replicas = max(0, spec.get("replicas", 1))
        strategy = spec.get("updateStrategy") or {}
        surge = math.ceil(share(strategy.get("maxSurge", 0), replicas))
        unavailable = math.floor(share(strategy.get("maxUnavailable", 0), replicas))
        if not surge and not unavailable:
            unavailable = 1
        return cls(replicas, bool(spec.get("stateful")), surge, min(unavailable, replicas))


@dataclass(frozen=True, slots=True)
class RoleSteps:
    """Slots of pods to create (None without a number) and names of pods to delete now."""

    create: tuple[int | None, ...] = ()
    delete: tuple[str, ...] = ()


def scale(role: Role, pods: Sequence[RolePod]) -> RoleSteps:
    """Return what brings the role to its replicas; nothing if it has them."""
    return _scale_slots(role, pods) if role.stateful else _scale_any(role, pods)


def rollout(role: Role, pods: Sequence[RolePod]) -> RoleSteps:
    """Return the next step of an update; nothing if all pods have the present template, or if it waits."""
    return _rollout_slots(role, pods) if role.stateful else _rollout_any(role, pods)


def is_complete(role: Role, pods: Sequence[RolePod]) -> bool:
    """Return True if the role has its pods, and all are ready and have the present template."""
    complete = len(pods) == role.replicas and all(pod.active and pod.ready and pod.updated for pod in pods)
    return complete and (not role.stateful or sorted(pod.slot or 0 for pod in pods) == list(range(role.replicas)))


def _slots(role: Role, pods: Sequence[RolePod]) -> tuple[list[list[RolePod]], list[RolePod]]:
    """Return the active pods of each slot, and those without a slot."""
    slots: list[list[RolePod]] = [[] for _ in range(role.replicas)]
    outside: list[RolePod] = []
    for pod in pods:
        if pod.active:
            (outside if pod.slot is None or pod.slot >= role.replicas else slots[pod.slot]).append(pod)
    return slots, outside


def _scale_slots(role: Role, pods: Sequence[RolePod]) -> RoleSteps:
    slots, outside = _slots(role, pods)
    deleted = [pod.name for pod in pods if pod.finished and not pod.terminating] + [pod.name for pod in outside]
    budget = role.replicas + role.surge - sum(pod.active or pod.terminating for pod in pods)
    created: list[int | None] = []
    for number, slot in enumerate(slots):
        if not slot and budget > 0:
            created.append(number)
            budget -= 1
        elif len(slot) > 1:
            deleted += _superfluous(slot)
    return RoleSteps(tuple(created), tuple(deleted))


def _superfluous(slot: Sequence[RolePod]) -> list[str]:
    """Return the pods that a slot does not need: it keeps one new pod, and an old ready one until that is ready."""

    def those(*, ready: bool, updated: bool) -> list[str]:
        return [pod.name for pod in slot if (pod.ready, pod.updated) == (ready, updated)]

    old_unready, new_ready = those(ready=False, updated=False), those(ready=True, updated=True)
    old_ready, new_unready = those(ready=True, updated=False), those(ready=False, updated=True)
    if new_ready:
        return [*old_unready, *old_ready, *new_unready, *new_ready[1:]]
    return [*old_unready, *old_ready[1:], *new_unready[1:]]


def _scale_any(role: Role, pods: Sequence[RolePod]) -> RoleSteps:
    deleted = [pod.name for pod in pods if pod.finished and not pod.terminating]
    active = [pod for pod in pods if pod.active]
    surplus = len(active) - role.replicas
    if surplus < 0:
        terminating = sum(pod.terminating for pod in pods)
        budget = min(-surplus, role.replicas + role.surge - len(active) - terminating)
        return RoleSteps((None,) * max(0, budget), tuple(deleted))
    ready = sum(pod.ready for pod in active)
    for pod in sorted(active, key=lambda pod: (pod.updated, pod.ready)):
        if surplus <= 0 or (pod.ready and ready <= role.replicas - role.unavailable):
            break
        deleted.append(pod.name)
        ready -= pod.ready
        surplus -= 1
    return RoleSteps((), tuple(deleted))


def _rollout_slots(role: Role, pods: Sequence[RolePod]) -> RoleSteps:
    slots, _ = _slots(role, pods)
    may_delete = sum(any(pod.ready for pod in slot) for slot in slots) - role.replicas + role.unavailable
    may_create = role.replicas + role.surge - len(pods)
    created: list[int | None] = []
    deleted: list[str] = []
    for number, slot in enumerate(slots):
        if len(slot) != 1 or slot[0].updated:
            continue
        if not slot[0].ready:
            deleted.append(slot[0].name)
        elif may_delete > 0:
            deleted.append(slot[0].name)
            may_delete -= 1
        elif may_create > 0:
            created.append(number)
            may_create -= 1
    return RoleSteps(tuple(created), tuple(deleted))


def _rollout_any(role: Role, pods: Sequence[RolePod]) -> RoleSteps:
    outdated = [pod for pod in pods if pod.active and not pod.updated]
    if not outdated:
        return RoleSteps()
    may_delete = sum(pod.active and pod.ready for pod in pods) - role.replicas + role.unavailable
    deleted = []
    for pod in sorted(outdated, key=lambda pod: pod.ready):
        if pod.ready and may_delete <= 0:
            break
        deleted.append(pod.name)
        may_delete -= pod.ready
    new, present = sum(pod.active and pod.updated for pod in pods), sum(not pod.finished for pod in pods)
    may_create = min(role.replicas + role.surge - present, role.replicas - new)
    return RoleSteps((None,) * max(0, may_create), tuple(deleted))
