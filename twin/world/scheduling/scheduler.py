"""Binds pods to nodes that have enough free GPUs.

A pod fits on a node if its node selector, required node affinity and tolerations allow it and enough `nvidia.com/gpu`
is free. The least allocated of these nodes is taken (Kubernetes' `NodeResourcesFit` with `LeastAllocated`), ties by
name. A pod that does not fit has the reason in its `PodScheduled` condition and is retried when a relevant node or pod
changes; pods of higher priority are first, and may preempt others (`preemption.py`). CPU, memory, preferences and
affinity between pods are not simulated: GPUs are the scarce resource for engines.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from fake_vllm.distributions import Uniform
from formats.quantities import parse_quantity
from formats.timestamps import format_time
from twin.apiserver import Change
from twin.apiserver.meta.objects import (
    Object,
    condition,
    is_finished,
    is_terminating,
    key,
    split,
    with_conditions,
)
from twin.apiserver.registry.binding import bound
from twin.apiserver.storage.eviction import BUDGETS
from twin.world.context import WorldContext
from twin.world.scheduling.node_affinity import is_allowed
from twin.world.scheduling.preemption import BoundPod, best, in_order_of_importance, protected_pods, victims_on
from twin.world.work import DelayedQueue

GPU = "nvidia.com/gpu"
DELAY = Uniform(0.005, 0.030)  # seconds until a pod is scheduled; latency of a lightly loaded cluster
UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_ROUND = "scheduler"
_PREEMPTED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "PreemptionByScheduler",
    "message": "default-scheduler: preempting to accommodate a higher priority pod",
}


class Scheduler:
    """Schedules all pending pods in rounds, oldest first."""

    def __init__(self, context: WorldContext) -> None:
        self._store = store = context.store
        self._now = context.now
        self._nodes: dict[str, Object] = {}
        self._pending: dict[str, Object] = {}
        self._bound: dict[str, tuple[str, BoundPod]] = {}  # by pod: its node, and what it requests
        self._nominated: dict[str, tuple[str, int, int]] = {}  # by pending pod: node that it waits for, GPUs, priority
        self._has_priorities = False
        """True once a pod had another priority than 0."""
        self._used: Counter[str] = Counter()
        self._rounds = DelayedQueue(context, "scheduler", DELAY, self._round)
        store.subscribe(self._on_pod, "pods")
        store.subscribe(self._on_node, "nodes")

    def _on_node(self, change: Change) -> None:
        name = change.object["metadata"]["name"]
        if change.type == "DELETED":
            self._nodes.pop(name, None)
            return
        current = self._nodes.get(name)
        self._nodes[name] = change.object
        if self._pending and (current is None or _scheduling_fields(current) != _scheduling_fields(change.object)):
            self._rounds.add(_ROUND)

    def _on_pod(self, change: Change) -> None:
        pod, name = change.object, key(change.object)
        node = pod["spec"].get("nodeName", "")
        gone = change.type == "DELETED" or is_finished(pod)
        if node and not gone:
            self._pending.pop(name, None)
            self._reserve(name, node, pod)
        elif gone or is_terminating(pod):
            self._pending.pop(name, None)
            self._nominated.pop(name, None)
            if gone:
                self._release(name)
        else:
            if name not in self._pending:
                self._has_priorities |= _priority(pod) != 0
                self._rounds.add(_ROUND)
            self._pending[name] = pod

    def _reserve(self, name: str, node: str, pod: Object) -> None:
        if name not in self._bound:
            requested = BoundPod(name, _priority(pod), gpus_of(pod), pod["metadata"]["creationTimestamp"])
            self._bound[name] = (node, requested)
            self._used[node] += requested.gpus
            self._nominated.pop(name, None)

    def _release(self, name: str) -> None:
        binding = self._bound.pop(name, None)
        if binding is None:
            return
        self._used[binding[0]] -= binding[1].gpus
        if self._pending:
            self._rounds.add(_ROUND)

    def _round(self, _: str) -> None:
        waiting = sorted(self._pending.items(), key=lambda item: (item[1]["metadata"]["creationTimestamp"], item[0]))
        if self._has_priorities:
            waiting.sort(key=lambda item: -_priority(item[1]))
        for name, pod in waiting:
            self._place(name, pod)

    def _place(self, name: str, pod: Object) -> None:
        requested, reasons, fits = gpus_of(pod), Counter[str](), []
        for node_name, node in self._nodes.items():
            capacity = _whole((node["status"].get("allocatable") or {}).get(GPU) or 0)
            free = capacity - self._used[node_name] - requested
            if self._nominated:
                free -= self._reserved(name, _priority(pod), node_name)
            reason = _reason_unfit(pod, node, free)
            if reason:
                reasons[reason] += 1
            else:
                load = (self._used[node_name] + requested) / capacity if capacity else 0.0
                fits.append((load, node_name))
        if fits:
            self._bind(name, pod, min(fits)[1])
        else:
            self._set_unschedulable(name, pod, reasons)
            if self._has_priorities:
                self._preempt(name, pod, requested)

    def _reserved(self, name: str, priority: int, node: str) -> int:
        """Return the GPUs of a node for which pods of no lower priority wait that have preempted others."""
        return sum(
            gpus
            for other, (nominated, gpus, rank) in self._nominated.items()
            if nominated == node and other != name and rank >= priority
        )

    def _preempt(self, name: str, pod: Object, requested: int) -> None:
        """Delete pods of lower priority so that a pod fits, unless it waits for such deletions already."""
        priority = _priority(pod)
        if self._awaits_place(name, pod) or pod["spec"].get("preemptionPolicy") == "Never":
            return
        self._nominated.pop(name, None)
        candidates = []
        budgets = self._store.list(BUDGETS).items
        for node_name, node in self._nodes.items():
            capacity = _whole((node["status"].get("allocatable") or {}).get(GPU) or 0)
            missing = requested - (capacity - self._used[node_name]) + self._reserved(name, priority, node_name)
            if not _reason_unfit(pod, node, 0):
                pods = [bound_pod for at, bound_pod in self._bound.values() if at == node_name]
                candidates.append(victims_on(node_name, missing, priority, pods, self._protected(pods, budgets)))
        chosen = best([victims for victims in candidates if victims is not None])
        if chosen is None or not chosen.pods:
            return
        self._nominated[name] = (chosen.node, requested, priority)
        namespace, short = split(name)
        status = {"status": {"nominatedNodeName": chosen.node}}
        self._store.patch("pods", namespace, short, status, subresource="status", manager="kube-scheduler")
        for victim in chosen.pods:
            self._delete_victim(victim.name)

    def _protected(self, pods: Sequence[BoundPod], budgets: Sequence[Object]) -> Collection[str]:
        """Return the names of the pods that disruption budgets protect."""
        if not budgets:
            return ()
        ordered = (self._store.get("pods", *split(pod.name)) for pod in in_order_of_importance(pods))
        return protected_pods(ordered, budgets)

    def _awaits_place(self, name: str, pod: Object) -> bool:
        """Return whether a pod was nominated for a node that it can still run on."""
        nominated = self._nominated.get(name)
        node = self._nodes.get(nominated[0]) if nominated is not None else None
        return node is not None and not _reason_unfit(pod, node, 0)

    def _delete_victim(self, name: str) -> None:
        namespace, short = split(name)
        pod = self._store.get("pods", namespace, short)
        if is_terminating(pod):
            return
        old = (pod.get("status") or {}).get("conditions") or ()
        body = {"status": {"conditions": with_conditions(old, [_PREEMPTED], format_time(self._now()))}}
        self._store.patch("pods", namespace, short, body, subresource="status", manager="kube-scheduler")
        self._store.delete("pods", namespace, short, uid=pod["metadata"]["uid"])

    def _bind(self, name: str, pod: Object, node: str) -> None:
        namespace, short = split(name)
        body = bound(pod, node, format_time(self._now()))
        self._store.patch("pods", namespace, short, body, subresource="binding", manager="kube-scheduler")

    def _set_unschedulable(self, name: str, pod: Object, reasons: Counter[str]) -> None:
        listed = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) or "no nodes"
        message = f"0/{len(self._nodes)} nodes are available: {listed}."
        current = condition(pod, "PodScheduled")
        if current is not None and current.get("message") == message:
            return
        unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        conditions = with_conditions(
            (pod.get("status") or {}).get("conditions") or (), [unschedulable], format_time(self._now())
        )
        body = {"status": {"phase": "Pending", "conditions": conditions}}
        namespace, short = split(name)
        self._store.patch("pods", namespace, short, body, subresource="status", manager="kube-scheduler")


def _priority(pod: Object) -> int:
    return pod["spec"].get("priority") or 0


def gpus_of(pod: Object) -> int:
    """Return the GPUs that a pod requests; for GPUs, limits count as requests."""
    total = 0
    for container in pod["spec"].get("containers") or ():
        resources: Mapping[str, Any] = container.get("resources") or {}
        requested = (resources.get("requests") or {}).get(GPU) or (resources.get("limits") or {}).get(GPU) or 0
        total += _whole(requested)
    return total


@lru_cache(maxsize=256)
def _whole(quantity: str | int) -> int:
    return int(parse_quantity(quantity))


def tolerates(pod: Object, taint: Object) -> Object | None:
    """Return the pod's toleration of a taint, None if it has none."""
    for toleration in pod["spec"].get("tolerations") or ():
        if toleration.get("effect") and toleration["effect"] != taint["effect"]:
            continue
        any_value = toleration.get("operator") == "Exists"
        if any_value and not toleration.get("key"):
            return toleration  # type: ignore[no-any-return]
        if toleration.get("key") == taint["key"] and (
            any_value or toleration.get("value", "") == taint.get("value", "")
        ):
            return toleration  # type: ignore[no-any-return]
    return None


def _scheduling_fields(node: Object) -> tuple[Any, ...]:
    """Return the parts of a node that affect scheduling."""
    spec = node["spec"]
    return (
        node["metadata"].get("labels"),
        spec.get("taints"),
        spec.get("unschedulable"),
        node["status"].get("allocatable"),
    )


def _reason_unfit(pod: Object, node: Object, free: int) -> str:
    """Return why the pod does not fit on the node, in kube-scheduler's words; empty if it fits."""
    if not is_allowed(pod["spec"], node):
        return "node(s) didn't match Pod's node affinity/selector"
    if node["spec"].get("unschedulable") and tolerates(pod, UNSCHEDULABLE) is None:
        return "node(s) were unschedulable"
    for taint in node["spec"].get("taints") or ():
        if taint["effect"] != "PreferNoSchedule" and tolerates(pod, taint) is None:
            return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    return f"Insufficient {GPU}" if free < 0 else ""
