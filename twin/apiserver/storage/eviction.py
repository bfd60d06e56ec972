"""Eviction of a pod, as far as its disruption budget allows it.

Source: `pkg/registry/core/pod/storage/eviction.go`. The budget's status is kept by the disruption controller
(`twin/world/disruption.py`); an eviction counts itself there at once.
"""

from dataclasses import dataclass
from datetime import datetime

from formats.timestamps import format_time
from twin.apiserver.meta.errors import ApiError
from twin.apiserver.meta.objects import Object, is_finished, is_terminating, is_true, with_conditions
from twin.apiserver.meta.selectors import label_selector
from twin.apiserver.storage.store import Store

BUDGETS = "poddisruptionbudgets.policy"
_REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
_TWO_BUDGETS = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
_RETRY_AFTER = 10  # seconds


@dataclass(frozen=True, slots=True)
class EvictionOptions:
    """Options of an eviction.

    Attributes:
        uid: uid that the pod must have; empty for any.
        resource_version: version that the pod must have; empty for any.
        grace_period: seconds; the pod's own if None.
        dry_run: check and change nothing.
    """

    uid: str = ""
    resource_version: str = ""
    grace_period: float | None = None
    dry_run: bool = False


def evict_pod(store: Store, namespace: str, name: str, now: datetime, options: EvictionOptions) -> None:
    """Delete a pod if its disruption budget allows it.

    Raises:
        ApiError: 429 if the budget does not allow it now, 404 if there is no such pod, 500 if it has two budgets.
    """
    pod = store.get("pods", namespace, name)
    budget = None if _needs_no_budget(pod) else _budget_of(store, pod)
    if budget is not None and not _may_skip(pod, budget):
        _count(store, budget, name, now, dry_run=options.dry_run)
    if not options.dry_run:
        target = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
        }
        conditions = with_conditions((pod.get("status") or {}).get("conditions") or (), [target], format_time(now))
        body = {"metadata": {"uid": options.uid or pod["metadata"]["uid"]}, "status": {"conditions": conditions}}
        store.patch("pods", namespace, name, body, subresource="status")
    store.delete(
        "pods",
        namespace,
        name,
        uid=options.uid,
        resource_version=options.resource_version,
        grace_period=options.grace_period,
        dry_run=options.dry_run,
    )


def _needs_no_budget(pod: Object) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return is_terminating(pod) or is_finished(pod) or phase == "Pending"


def _budget_of(store: Store, pod: Object) -> Object | None:
    labels = pod["metadata"].get("labels") or {}
    budgets = [
        item
        for item in store.list(BUDGETS, namespace=pod["metadata"]["namespace"]).items
        if label_selector((item.get("spec") or {}).get("selector") or {})(labels)
    ]
    if len(budgets) > 1:
        raise ApiError(500, "", _TWO_BUDGETS)
    return budgets[0] if budgets else None


def _may_skip(pod: Object, budget: Object) -> bool:
    """Return True if an unready pod may go without counting."""
    if is_true(pod, "Ready"):
        return False
    status = budget.get("status") or {}
    desired = status.get("desiredHealthy", 0)
    always = budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow"
    return bool(always or 0 < desired <= status.get("currentHealthy", 0))


def _count(store: Store, budget: Object, pod: str, now: datetime, *, dry_run: bool) -> None:
    """Count an eviction in the budget's status, or refuse it."""
    meta, status = budget["metadata"], budget.get("status") or {}
    name = meta["name"]
    if status.get("observedGeneration", 0) < meta.get("generation", 1):
        raise _refusal(f"The disruption budget {name} is still being processed by the server.", _RETRY_AFTER)
    if not status.get("disruptionsAllowed"):
        desired, current = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        reason = f"needs {desired} healthy pods and has {current} currently"
        if current > desired:
            reason = "does not allow evicting pods currently"
        raise _refusal(f"The disruption budget {name} {reason}")
    body = {
        "status": {
            "disruptionsAllowed": status["disruptionsAllowed"] - 1,
            "disruptedPods": {pod: format_time(now)},
        }
    }
    store.patch(BUDGETS, meta["namespace"], name, body, subresource="status", dry_run=dry_run)


def _refusal(cause: str, retry_after: int = 0) -> ApiError:
    details = {"causes": [{"reason": "DisruptionBudget", "message": cause}]}
    return ApiError(429, "TooManyRequests", _REFUSED, details=details, retry_after=retry_after or None)
