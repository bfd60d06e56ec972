"""Binds pods to nodes that have GPUs to spare.

A pod fits where its node selector and taints allow it and where enough `nvidia.com/gpu` is free; of these the
least allocated node is taken (Kubernetes' `NodeResourcesFit` with `LeastAllocated`), ties by name. What does
not fit says why in its `PodScheduled` condition and is tried again when a node or a pod changes so that it
might. CPU, memory and affinity are not simulated: GPUs are what is scarce in front of an engine.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import simpy

from fake_vllm.distributions import Uniform
from formats.timestamps import format_time
from twin.apiserver import Change, Store
from twin.apiserver.meta.objects import (
    Object,
    condition,
    is_finished,
    is_terminating,
    key,
    split,
    with_conditions,
)
from twin.kernel.random_streams import Streams
from twin.world.work import DelayedQueue

GPU = "nvidia.com/gpu"
DELAY = Uniform(0.005, 0.030)  # seconds to get round to a pod; scheduling latencies of a lightly loaded cluster
_ROUND = "scheduler"


class Scheduler:
    """One scheduling round at a time over all pending pods, oldest first."""

    def __init__(self, env: simpy.Environment, store: Store, streams: Streams, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now
        self._nodes: dict[str, Object] = {}
        self._pending: dict[str, Object] = {}
        self._bound: dict[str, tuple[str, int]] = {}  # pod -> node, GPUs
        self._used: Counter[str] = Counter()
        self._rounds = DelayedQueue(env, streams, "scheduler", DELAY, self._round)
        store.subscribe(self._on_pod, "pods")
        store.subscribe(self._on_node, "nodes")

    def _on_node(self, change: Change) -> None:
        name = change.object["metadata"]["name"]
        if change.type == "DELETED":
            self._nodes.pop(name, None)
            return
        known = self._nodes.get(name)
        self._nodes[name] = change.object
        if self._pending and (known is None or _offer(known) != _offer(change.object)):
            self._rounds.note(_ROUND)

    def _on_pod(self, change: Change) -> None:
        pod, name = change.object, key(change.object)
        node = pod["spec"].get("nodeName", "")
        gone = change.type == "DELETED" or is_finished(pod)
        if node and not gone:
            self._pending.pop(name, None)
            self._take(name, node, pod)
        elif gone or is_terminating(pod):
            self._pending.pop(name, None)
            if gone:
                self._give_back(name)
        else:
            if name not in self._pending:
                self._rounds.note(_ROUND)
            self._pending[name] = pod

    def _take(self, name: str, node: str, pod: Object) -> None:
        if name not in self._bound:
            wanted = gpus_of(pod)
            self._bound[name] = (node, wanted)
            self._used[node] += wanted

    def _give_back(self, name: str) -> None:
        held = self._bound.pop(name, None)
        if held is None:
            return
        self._used[held[0]] -= held[1]
        if self._pending:
            self._rounds.note(_ROUND)

    def _round(self, _: str) -> None:
        waiting = sorted(self._pending.items(), key=lambda item: (item[1]["metadata"]["creationTimestamp"], item[0]))
        for name, pod in waiting:
            self._place(name, pod)

    def _place(self, name: str, pod: Object) -> None:
        wanted, refusals, fits = gpus_of(pod), Counter[str](), []
        for node_name, node in self._nodes.items():
            capacity = int(node["status"].get("allocatable", {}).get(GPU, 0))
            reason = _refusal(pod, node, capacity - self._used[node_name] - wanted)
            if reason:
                refusals[reason] += 1
            else:
                load = (self._used[node_name] + wanted) / capacity if capacity else 0.0
                fits.append((load, node_name))
        if fits:
            namespace, short = split(name)
            self._store.patch("pods", namespace, short, {"spec": {"nodeName": min(fits)[1]}}, manager="kube-scheduler")
        else:
            self._refuse(name, pod, refusals)

    def _refuse(self, name: str, pod: Object, refusals: Counter[str]) -> None:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(refusals.items())) or "no nodes"
        message = f"0/{len(self._nodes)} nodes are available: {reasons}."
        known = condition(pod, "PodScheduled")
        if known is not None and known.get("message") == message:
            return
        verdict = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        before = (pod.get("status") or {}).get("conditions") or ()
        conditions = with_conditions(before, [verdict], format_time(self._now()))
        body = {"status": {"phase": "Pending", "conditions": conditions}}
        namespace, short = split(name)
        self._store.patch("pods", namespace, short, body, subresource="status", manager="kube-scheduler")


def gpus_of(pod: Object) -> int:
    """GPUs that a pod asks for; for GPUs, limits count as requests."""
    total = 0
    for container in pod["spec"].get("containers") or ():
        resources: Mapping[str, Any] = container.get("resources") or {}
        asked = (resources.get("requests") or {}).get(GPU) or (resources.get("limits") or {}).get(GPU) or 0
        total += int(asked)
    return total


def tolerates(pod: Object, taint: Object) -> Object | None:
    """The pod's toleration of a taint, None if it has none."""
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


def _offer(node: Object) -> tuple[Any, ...]:
    """What of a node bears on scheduling."""
    spec = node["spec"]
    return (
        node["metadata"].get("labels"),
        spec.get("taints"),
        spec.get("unschedulable"),
        node["status"].get("allocatable"),
    )


def _refusal(pod: Object, node: Object, left: int) -> str:
    """Why the pod can't go there, in kube-scheduler's words; empty if it can."""
    labels = node["metadata"].get("labels") or {}
    if any(labels.get(k) != v for k, v in (pod["spec"].get("nodeSelector") or {}).items()):
        return "node(s) didn't match Pod's node affinity/selector"
    if node["spec"].get("unschedulable"):
        return "node(s) were unschedulable"
    for taint in node["spec"].get("taints") or ():
        if taint["effect"] != "PreferNoSchedule" and tolerates(pod, taint) is None:
            return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    return f"Insufficient {GPU}" if left < 0 else ""
