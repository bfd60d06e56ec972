"""The status of a Deployment.

The rules are those of Kubernetes' deployment controller (`pkg/controller/deployment/progress.go` and `sync.go`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from formats.timestamps import format_time, parse_timestamp
from twin.apiserver.meta.objects import Object, condition
from twin.world.workloads.rollout import Strategy, desired_replicas

NEW_SET_AVAILABLE = "NewReplicaSetAvailable"
_PROGRESSING, _AVAILABLE, _FAILURE = "Progressing", "Available", "ReplicaFailure"
_NO_DEADLINE = 2**31 - 1  # progressDeadlineSeconds that stands for none


@dataclass(frozen=True, slots=True)
class Sets:
    """ReplicaSets of a Deployment; `new` is None before it is created."""

    new: Object | None
    old: Sequence[Object]

    @property
    def all(self) -> list[Object]:
        """All of them, old ones first."""
        return [*self.old, *([] if self.new is None else [self.new])]


def rollout_status(deployment: Object, sets: Sets, now: datetime) -> Object:
    """Return the status of a Deployment that is not paused and was not scaled just now."""
    status = _counts(deployment, sets)
    conditions = _Conditions(deployment, now)
    conditions.put(_available(deployment, status))
    progressing = _progress(deployment, sets, status, conditions, now)
    if progressing is not None:
        conditions.put(progressing, again=progressing["reason"] == "ReplicaSetUpdated")
    if not has_deadline(deployment):
        conditions.drop(_PROGRESSING)
    _put_failure(conditions, sets)
    return {**status, "conditions": conditions.items()}


def plain_status(deployment: Object, sets: Sets, now: datetime) -> Object:
    """Return the status of a Deployment that is paused, was scaled just now, or is being deleted."""
    status = _counts(deployment, sets)
    conditions = _Conditions(deployment, now)
    conditions.put(_available(deployment, status))
    if (paused := _paused(deployment)) is not None:
        conditions.put(paused)
    return {**status, "conditions": conditions.items()}


def with_progress(deployment: Object, reason: str, message: str, now: datetime) -> Object:
    """Return the status with another reason of progress."""
    conditions = _Conditions(deployment, now)
    conditions.put(_condition(_PROGRESSING, "True", reason, message))
    return {**(deployment.get("status") or {}), "conditions": conditions.items()}


def resumed(deployment: Object, now: datetime) -> Object | None:
    """Return the status after a change of `spec.paused`; None if the condition says so already."""
    current = condition(deployment, _PROGRESSING)
    if not has_deadline(deployment) or (current or {}).get("reason") == "ProgressDeadlineExceeded":
        return None
    said = current is not None and current["reason"] == "DeploymentPaused"
    conditions = _Conditions(deployment, now)
    if deployment["spec"].get("paused") and not said:
        conditions.put(_condition(_PROGRESSING, "Unknown", "DeploymentPaused", "Deployment is paused"))
    elif not deployment["spec"].get("paused") and said:
        conditions.put(_condition(_PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed"))
    else:
        return None
    return {**(deployment.get("status") or {}), "conditions": conditions.items()}


def has_deadline(deployment: Object) -> bool:
    """Return True if the Deployment has a limit for the time without progress."""
    return (deployment["spec"].get("progressDeadlineSeconds") or _NO_DEADLINE) != _NO_DEADLINE


def seconds_left(deployment: Object, now: datetime) -> float | None:
    """Return the seconds until the Deployment has made no progress for too long; None if that is not watched."""
    current = condition(deployment, _PROGRESSING)
    if current is None or not has_deadline(deployment) or current["reason"] in (NEW_SET_AVAILABLE, "DeploymentPaused"):
        return None
    if current["reason"] == "ProgressDeadlineExceeded" or deployment["spec"].get("paused"):
        return None
    since = parse_timestamp(current["lastUpdateTime"])
    return float(deployment["spec"]["progressDeadlineSeconds"] - (now - since).total_seconds())


def is_complete(deployment: Object, status: Object) -> bool:
    """Return True if all pods are new and available."""
    desired = desired_replicas(deployment["spec"])
    fields = ("updatedReplicas", "replicas", "availableReplicas")
    return all(status.get(field, 0) == desired for field in fields) and status["observedGeneration"] >= deployment[
        "metadata"
    ].get("generation", 1)


class _Conditions:
    """Conditions that keep their times as long as status and reason stay the same."""

    def __init__(self, deployment: Object, now: datetime) -> None:
        old = (deployment.get("status") or {}).get("conditions") or ()
        self._items: dict[str, Object] = {item["type"]: item for item in old}
        self._now = format_time(now)

    def get(self, type_: str) -> Object | None:
        return self._items.get(type_)

    def put(self, new: Object, *, again: bool = False) -> None:
        """Set a condition; with `again` its time of update is renewed though status and reason are the same."""
        old = self._items.get(new["type"])
        same = old is not None and old["status"] == new["status"]
        if old is not None and same and old["reason"] == new["reason"] and not again:
            return
        since = old["lastTransitionTime"] if old is not None and same else self._now
        self._items.pop(new["type"], None)
        self._items[new["type"]] = {**new, "lastUpdateTime": self._now, "lastTransitionTime": since}

    def drop(self, type_: str) -> None:
        self._items.pop(type_, None)

    def items(self) -> list[Object]:
        return list(self._items.values())


def _counts(deployment: Object, sets: Sets) -> Object:
    available = _total(sets.all, "availableReplicas")
    return {
        "observedGeneration": deployment["metadata"].get("generation", 1),
        "replicas": _total(sets.all, "replicas"),
        "updatedReplicas": _total([] if sets.new is None else [sets.new], "replicas"),
        "readyReplicas": _total(sets.all, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, sum(desired_replicas(item["spec"]) for item in sets.all) - available),
        "terminatingReplicas": _total(sets.all, "terminatingReplicas"),
    }


def _total(sets: Sequence[Object], field: str) -> int:
    return sum((item.get("status") or {}).get(field, 0) for item in sets)


def _available(deployment: Object, status: Object) -> Object:
    minimum = desired_replicas(deployment["spec"]) - Strategy.of(deployment["spec"]).unavailable
    if status["availableReplicas"] >= minimum:
        return _condition(_AVAILABLE, "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    message = "Deployment does not have minimum availability."
    return _condition(_AVAILABLE, "False", "MinimumReplicasUnavailable", message)


def _paused(deployment: Object) -> Object | None:
    if not (deployment["spec"].get("paused") and has_deadline(deployment)):
        return None
    return _condition(_PROGRESSING, "Unknown", "DeploymentPaused", "Deployment is paused")


def _progress(deployment: Object, sets: Sets, status: Object, conditions: _Conditions, now: datetime) -> Object | None:
    """Return the condition of progress; None if it stays as it is."""
    current = conditions.get(_PROGRESSING)
    settled = status["replicas"] == status["updatedReplicas"] and (current or {}).get("reason") == NEW_SET_AVAILABLE
    if settled or not has_deadline(deployment):
        return None
    subject = f'ReplicaSet "{sets.new["metadata"]["name"]}"' if sets.new is not None else "Deployment"
    if is_complete(deployment, status):
        return _condition(_PROGRESSING, "True", NEW_SET_AVAILABLE, f"{subject} has successfully progressed.")
    if _has_advanced(deployment.get("status") or {}, status):
        return _condition(_PROGRESSING, "True", "ReplicaSetUpdated", f"{subject} is progressing.")
    left = seconds_left(deployment, now)
    if left is not None and left <= 0:
        return _condition(_PROGRESSING, "False", "ProgressDeadlineExceeded", f"{subject} has timed out progressing.")
    return None


def _has_advanced(old: Object, new: Object) -> bool:
    """Return True if there are more new pods, fewer old ones, or more pods that are ready or available."""
    olds = [status.get("replicas", 0) - status.get("updatedReplicas", 0) for status in (old, new)]
    grown = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return olds[1] < olds[0] or any(new[field] > old.get(field, 0) for field in grown)


def _put_failure(conditions: _Conditions, sets: Sets) -> None:
    """Report the failure of a ReplicaSet to create pods, the new one's first."""
    candidates = ([] if sets.new is None else [sets.new]) + list(sets.old)
    failure = next((item for each in candidates if (item := condition(each, _FAILURE)) is not None), None)
    if failure is None:
        conditions.drop(_FAILURE)
    else:
        conditions.put(_condition(_FAILURE, failure["status"], failure["reason"], failure["message"]))


def _condition(type_: str, status: str, reason: str, message: str) -> Object:
    return {"type": type_, "status": status, "reason": reason, "message": message}
