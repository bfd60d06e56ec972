"""Nodes, and how a cluster reacts to one that fails.

A node that is down has lost power: engines die at once, and nothing reports it. Only after the monitor's grace period
does the node controller mark the node and its pods; only after the pods' toleration are they deleted
(`taint_eviction.py`), and they stay terminating until they are deleted by force or the node comes back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from formats.timestamps import format_time
from twin.apiserver import ApiError, Change
from twin.apiserver.meta.objects import Object, is_terminating, key, split, with_conditions
from twin.apiserver.storage.eviction import EvictionOptions, evict_pod
from twin.world.context import WorldContext
from twin.world.kubelet.kubelet import Kubelet
from twin.world.scheduling.scheduler import GPU
from twin.world.work import Timer

MONITOR_GRACE = 40.0  # seconds; kube-controller-manager's --node-monitor-grace-period (50 s since Kubernetes 1.32)
ORPHANED_AFTER = 60.0  # seconds; podgc's quarantineTime of 40 s, and its check every 20 s
EVICTION_RETRY = 5.0  # seconds; k8s.io/kubectl/pkg/drain: "error when evicting pod (will retry after 5s)"
UNREACHABLE = "node.kubernetes.io/unreachable"
_TAINT = {"key": UNREACHABLE, "effect": "NoExecute"}

_ORPHANED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "DeletionByPodGC",
    "message": "PodGC: node no longer exists",
}


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A node of the scenario."""

    name: str
    gpus: int
    zone: str = ""


class Nodes:
    """Creates the Node objects, and acts as the node controller."""

    def __init__(self, context: WorldContext, specs: Sequence[NodeSpec], kubelet: Kubelet) -> None:
        self._env = context.env
        self._store = context.store
        self._now = context.now
        self._specs = {spec.name: spec for spec in specs}
        self._kubelet = kubelet
        self._timers: dict[str, Timer] = {}
        self._store.subscribe(self._on_node, "nodes")

    def start(self) -> None:
        """Create the nodes, all ready."""
        for spec in self._specs.values():
            labels = {"kubernetes.io/hostname": spec.name, "kubernetes.io/os": "linux"}
            if spec.zone:
                labels["topology.kubernetes.io/zone"] = spec.zone
            metadata = {"name": spec.name, "labels": labels}
            node = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {}}
            created = self._store.create("nodes", node, manager="kubelet")
            gpus = {GPU: str(spec.gpus)}
            self._write(created, _ready("True"), {"capacity": gpus, "allocatable": gpus})

    def down(self, name: str) -> None:
        """Power off a node.

        Raises:
            ValueError: if there is no such node, or it is already down.
        """
        self._check(name)
        if name in self._timers:
            raise ValueError(f"node {name} is already down")
        self._kubelet.power_off(name)
        self._timers[name] = Timer(self._env, partial(self._mark_unreachable, name))
        self._timers[name].set(self._env.now + MONITOR_GRACE)

    def up(self, name: str) -> None:
        """Boot a node and report it as ready.

        Raises:
            ValueError: if there is no such node, or it is not down.
        """
        self._check(name)
        if name not in self._timers:
            raise ValueError(f"node {name} is not down")
        self._timers.pop(name).cancel()
        node = self._store.get("nodes", "", name)
        if node["spec"].get("taints"):
            kept = [taint for taint in node["spec"]["taints"] if taint["key"] != UNREACHABLE]
            node = self._store.patch("nodes", "", name, {"spec": {"taints": kept}}, manager="kube-controller-manager")
        self._write(node, _ready("True"))
        self._kubelet.power_on(name)

    def drain(self, name: str) -> None:
        """Do `kubectl drain`: cordon the node and evict its pods as their disruption budgets allow.

        A pod that may not go is tried again every five seconds, until the node is uncordoned.

        Raises:
            ValueError: if there is no such node.
        """
        self._check(name)
        self._store.patch("nodes", "", name, {"spec": {"unschedulable": True}}, manager="kubectl-drain")
        for pod in self._pods_on(name):
            if not is_terminating(pod) and not _is_daemon_pod(pod):
                self._drain_pod(pod)

    def _drain_pod(self, pod: Object) -> None:
        meta, node = pod["metadata"], pod["spec"]["nodeName"]
        if not self._exists(node) or not self._store.get("nodes", "", node)["spec"].get("unschedulable"):
            return
        try:
            options = EvictionOptions(uid=meta["uid"])
            evict_pod(self._store, meta["namespace"], meta["name"], self._now(), options)
        except ApiError as error:
            if error.code == 429:
                self._env.timeout(EVICTION_RETRY).callbacks.append(lambda _: self._drain_pod(pod))
            elif error.code not in (404, 409, 500):  # gone, replaced, or with two budgets: kubectl drain gives up
                raise

    def uncordon(self, name: str) -> None:
        """Do `kubectl uncordon`. Raises ValueError if there is no such node."""
        self._check(name)
        self._store.patch("nodes", "", name, {"spec": {"unschedulable": None}}, manager="kubectl-cordon")

    def _check(self, name: str) -> None:
        if name not in self._specs or not self._exists(name):
            raise ValueError(f"node {name} not found; nodes: {', '.join(self._specs) or 'none'}")

    def _on_node(self, change: Change) -> None:
        if change.type == "DELETED":
            name = change.object["metadata"]["name"]
            self._env.timeout(ORPHANED_AFTER).callbacks.append(lambda _: self._collect_orphans(name))

    def _collect_orphans(self, node: str) -> None:
        """Delete the pods of a node that does not exist, as pod garbage collection does."""
        if self._exists(node):
            return
        for pod in self._pods_on(node):
            namespace, name = split(key(pod))
            old = (pod.get("status") or {}).get("conditions") or ()
            conditions = with_conditions(old, [_ORPHANED], format_time(self._now()))
            status = {"phase": "Failed", "conditions": conditions}
            body = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
            self._store.patch("pods", namespace, name, body, subresource="status", manager="kube-controller-manager")
            self._store.delete("pods", namespace, name, uid=pod["metadata"]["uid"], grace_period=0)

    def _exists(self, name: str) -> bool:
        return any(node["metadata"]["name"] == name for node in self._store.list("nodes").items)

    def _mark_unreachable(self, name: str) -> None:
        if not self._exists(name):
            return
        node = self._store.get("nodes", "", name)
        taints = [*(node["spec"].get("taints") or ()), {"key": UNREACHABLE, "effect": "NoSchedule"}, _TAINT]
        node = self._store.patch("nodes", "", name, {"spec": {"taints": taints}}, manager="kube-controller-manager")
        self._write(node, _ready("Unknown"))
        for pod in self._pods_on(name):
            self._mark_unready(pod)

    def _pods_on(self, name: str) -> list[Object]:
        return list(self._store.list("pods", field_selector=f"spec.nodeName={name}").items)

    def _mark_unready(self, pod: Object) -> None:
        old = (pod.get("status") or {}).get("conditions") or ()
        conditions = [{**item, "status": "False", "reason": "NodeNotReady"} for item in old if item["type"] == "Ready"]
        if not conditions:
            return
        namespace, name = split(key(pod))
        body = {"status": {"conditions": with_conditions(old, conditions, format_time(self._now()))}}
        self._store.patch("pods", namespace, name, body, subresource="status", manager="kube-controller-manager")

    def _write(self, node: Object, ready: Object, more: Object | None = None) -> None:
        old = (node.get("status") or {}).get("conditions") or ()
        status: dict[str, Any] = {"conditions": with_conditions(old, [ready], format_time(self._now())), **(more or {})}
        name = node["metadata"]["name"]
        self._store.patch("nodes", "", name, {"status": status}, subresource="status", manager="kubelet")


def _is_daemon_pod(pod: Object) -> bool:
    """Return True for a pod that stays on a drained node (`--ignore-daemonsets`)."""
    owners = pod["metadata"].get("ownerReferences") or ()
    return any(owner.get("controller") and owner["kind"] == "DaemonSet" for owner in owners)


def _ready(status: str) -> dict[str, str]:
    if status == "True":
        return {
            "type": "Ready",
            "status": status,
            "reason": "KubeletReady",
            "message": "kubelet is posting ready status",
        }
    message = "Kubelet stopped posting node status."
    return {"type": "Ready", "status": status, "reason": "NodeStatusUnknown", "message": message}
