"""The decisions of the StatefulSet controller: which pods to create and to delete now.

The order is that of `updateStatefulSet` in Kubernetes' `pkg/controller/statefulset/stateful_set_control.go`: missing
and failed pods by ordinal, then pods beyond the replicas from the last to the first, then outdated pods from the last
to the first. With `OrderedReady` each step waits until the pods before it are available.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StatefulPod:
    """State of one pod, as far as it decides.

    Attributes:
        ordinal: number in its name.
        revision: name of the revision of its template.
        available: it is ready, and has been for `minReadySeconds`.
        terminating: it is being deleted.
        finished: its phase is Failed or Succeeded.
    """

    ordinal: int
    revision: str = ""
    available: bool = False
    terminating: bool = False
    finished: bool = False

    @property
    def unavailable(self) -> bool:
        """True if an update waits for it."""
        return not self.available or self.terminating


@dataclass(frozen=True, slots=True)
class Wanted:
    """Values of a StatefulSet's spec.

    Attributes:
        replicas: number of pods.
        start: first ordinal.
        ordered: False for `podManagementPolicy: Parallel`.
        partition: pods before this position keep their revision; None for the strategy `OnDelete`.
        update: name of the revision of the present template.
    """

    replicas: int
    start: int = 0
    ordered: bool = True
    partition: int | None = 0
    update: str = ""


@dataclass(frozen=True, slots=True)
class Steps:
    """Ordinals of pods to create and to delete now; `updates` of the latter are deleted for their revision."""

    create: tuple[int, ...] = ()
    delete: tuple[int, ...] = ()
    updates: int = 0


def next_steps(wanted: Wanted, pods: Sequence[StatefulPod]) -> Steps:
    """Return what to do now; nothing if the set waits or is complete."""
    ordinals = range(wanted.start, wanted.start + wanted.replicas)
    existing = {pod.ordinal: pod for pod in pods}
    steps, waits = _replicas(wanted, [existing.get(ordinal, ordinal) for ordinal in ordinals])
    if waits:
        return steps
    condemned = sorted((pod for pod in pods if pod.ordinal not in ordinals), key=lambda pod: -pod.ordinal)
    deleted, waits = _condemned(condemned, ordered=wanted.ordered)
    steps = Steps(steps.create, (*steps.delete, *deleted))
    if waits or wanted.partition is None:
        return steps
    outdated = _outdated(wanted, existing)
    return steps if outdated is None else Steps(steps.create, (*steps.delete, outdated), 1)


def _replicas(wanted: Wanted, pods: Sequence["StatefulPod | int"]) -> tuple[Steps, bool]:
    """Return the steps for the desired pods (an ordinal stands for a missing one), and whether to wait for them."""
    create: list[int] = []
    delete: list[int] = []
    for pod in pods:
        if isinstance(pod, int):
            create.append(pod)
            waits = True
        else:
            if pod.finished and not pod.terminating:
                delete.append(pod.ordinal)
            waits = pod.finished or pod.unavailable
        if waits and wanted.ordered:
            return Steps(tuple(create), tuple(delete)), True
    return Steps(tuple(create), tuple(delete)), False


def _condemned(pods: Sequence[StatefulPod], *, ordered: bool) -> tuple[tuple[int, ...], bool]:
    """Return the pods to delete of those beyond the replicas, last first, and whether to wait for them."""
    if not ordered:
        return tuple(pod.ordinal for pod in pods if not pod.terminating), False
    if not pods:
        return (), False
    first_unhealthy = next((pod for pod in reversed(pods) if pod.unavailable), None)
    last = pods[0]
    if last.terminating or (not last.available and last is not first_unhealthy):
        return (), True
    return (last.ordinal,), True


def _outdated(wanted: Wanted, existing: dict[int, StatefulPod]) -> int | None:
    """Return the pod to delete because of its revision; None if the update is complete or waits."""
    for index in range(wanted.replicas - 1, (wanted.partition or 0) - 1, -1):
        pod = existing.get(wanted.start + index)
        if pod is not None and pod.revision != wanted.update and not pod.terminating:
            return pod.ordinal
        if pod is None or pod.unavailable:
            return None
    return None
