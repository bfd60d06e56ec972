"""The disruption controller: how many pods of each PodDisruptionBudget may be evicted now.

Source: Kubernetes' `pkg/controller/disruption/disruption.go`. Pods are followed once there is a budget.
"""

import math
from collections.abc import Sequence
from typing import Any

from fake_vllm.distributions import Uniform
from formats.timestamps import format_time, parse_timestamp
from twin.apiserver import ApiError, Change
from twin.apiserver.meta.objects import Object, is_terminating, is_true, key, split, with_conditions
from twin.apiserver.meta.selectors import label_selector
from twin.apiserver.storage.eviction import BUDGETS
from twin.world.context import WorldContext
from twin.world.work import DelayedQueue
from twin.world.workloads.rollout import desired_replicas, share

DELAY = Uniform(0.010, 0.060)  # seconds until a controller handles a change; a lightly loaded control plane
_EVICTED_WITHIN = 120.0  # seconds; DeletionTimeout: then the pod counts again
_MANAGER = "kube-controller-manager"


class DisruptionBudgets:
    """Keeps the status of all PodDisruptionBudgets."""

    def __init__(self, context: WorldContext) -> None:
        self._store = context.store
        self._now = context.now
        self._budgets: dict[str, Object] = {}
        self._follows_pods = False
        self._queue = DelayedQueue(context, "disruption-controller", DELAY, self._sync)
        self._store.subscribe(self._on_budget, BUDGETS)

    def _on_budget(self, change: Change) -> None:
        if not self._follows_pods:
            self._follows_pods = True
            self._store.subscribe(self._on_pod, "pods")
        name = key(change.object)
        if change.type == "DELETED":
            self._budgets.pop(name, None)
            return
        self._budgets[name] = change.object
        self._queue.add(name)

    def _on_pod(self, change: Change) -> None:
        meta = change.object["metadata"]
        for name, budget in self._budgets.items():
            if budget["metadata"]["namespace"] == meta["namespace"] and _selects(budget, change.object):
                self._queue.add(name)

    def _sync(self, name: str) -> None:
        budget = self._budgets.get(name)
        if budget is None:
            return
        namespace, short = split(name)
        pods = [pod for pod in self._store.list("pods", namespace=namespace).items if _selects(budget, pod)]
        expected, desired = self._expected(budget.get("spec") or {}, pods)
        evicted = self._evicted(budget, pods)
        healthy = sum(
            is_true(pod, "Ready") and not is_terminating(pod) and pod["metadata"]["name"] not in evicted for pod in pods
        )
        allowed = max(0, healthy - desired) if expected else 0
        before = budget.get("status") or {}
        is_allowed = "True" if allowed else "False"
        reason = "SufficientPods" if allowed else "InsufficientPods"
        condition = {"type": "DisruptionAllowed", "status": is_allowed, "reason": reason, "message": ""}
        now = format_time(self._now())
        status: dict[str, Any] = {
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "expectedPods": expected,
            "disruptionsAllowed": allowed,
            "observedGeneration": budget["metadata"].get("generation", 1),
            "conditions": with_conditions(before.get("conditions") or (), [condition], now),
        }
        if evicted:
            status["disruptedPods"] = evicted
        if status != before:
            body = {"status": {**dict.fromkeys(before), **status}}
            if before.get("disruptedPods"):
                gone = dict.fromkeys(before["disruptedPods"])
                body["status"]["disruptedPods"] = {**gone, **evicted} if evicted else None
            self._store.patch(BUDGETS, namespace, short, body, subresource="status", manager=_MANAGER)

    def _evicted(self, budget: Object, pods: Sequence[Object]) -> dict[str, str]:
        """Return the pods whose eviction is counted, and that are not deleted yet."""
        there = {pod["metadata"]["name"] for pod in pods if not is_terminating(pod)}
        counted = (budget.get("status") or {}).get("disruptedPods") or {}
        return {
            name: since
            for name, since in counted.items()
            if name in there and (self._now() - parse_timestamp(since)).total_seconds() < _EVICTED_WITHIN
        }

    def _expected(self, spec: Object, pods: Sequence[Object]) -> tuple[int, int]:
        """Return the number of pods that there should be, and how many of them must be healthy."""
        unavailable, available = spec.get("maxUnavailable"), spec.get("minAvailable")
        if unavailable is None and not isinstance(available, str):
            return len(pods), int(available or 0)
        scales = dict(self._scale_of(pod) for pod in pods)
        expected = sum(scales.values())
        if unavailable is not None:
            return expected, max(0, expected - math.ceil(share(unavailable, expected)))
        return expected, math.ceil(share(available or 0, expected))

    def _scale_of(self, pod: Object) -> tuple[str, int]:
        """Return uid and replicas of the outermost controller of a pod that has a scale."""
        obj, uid, replicas = pod, pod["metadata"]["uid"], 1
        while owner := next((o for o in obj["metadata"].get("ownerReferences") or () if o.get("controller")), None):
            kind = self._store.kinds.of_object(owner)
            if kind is None or kind.scale is None:
                break
            try:
                obj = self._store.get(kind.resource, pod["metadata"]["namespace"], owner["name"])
            except ApiError:
                break
            uid, replicas = obj["metadata"]["uid"], desired_replicas(obj["spec"])
        return uid, replicas


def _selects(budget: Object, pod: Object) -> bool:
    selector = (budget.get("spec") or {}).get("selector") or {}
    return label_selector(selector)(pod["metadata"].get("labels") or {})
