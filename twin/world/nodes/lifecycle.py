"""The node lifecycle controller: what follows from a node's conditions, or from its kubelet's silence.

Conditions and cordons become `NoSchedule` taints at once. A monitor that looks every five seconds marks a silent node
and its pods, and adds `NoExecute` taints, which `taint_eviction.py` acts on: one node of a zone in ten seconds, none in
a small zone of which most nodes are unhealthy, and none while no node of the cluster is ready. Source:
`pkg/controller/nodelifecycle` of Kubernetes 1.36. Rounds without anything to do are left out.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fake_vllm.distributions import Uniform
from formats.timestamps import format_time
from twin.apiserver import ApiError, Change
from twin.apiserver.meta.objects import Object, condition, key, split, with_conditions
from twin.world.context import WorldContext
from twin.world.nodes.zones import TaintRates, all_are_disrupted
from twin.world.work import DelayedQueue, Timer

MONITOR_PERIOD = 5.0  # seconds; --node-monitor-period
MONITOR_GRACE = 50.0  # seconds; --node-monitor-grace-period
DELAY = Uniform(0.010, 0.060)  # seconds until a controller handles a change; a lightly loaded control plane
UNREACHABLE, NOT_READY = "node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
NO_SCHEDULE, NO_EXECUTE = "NoSchedule", "NoExecute"
_OF_READY = {"False": NOT_READY, "Unknown": UNREACHABLE}
_TAINTS: Mapping[tuple[str, str], str] = {
    **{("Ready", status): taint for status, taint in _OF_READY.items()},
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
}
_OWN = frozenset({*_TAINTS.values(), UNSCHEDULABLE})
_REPORTED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
_MANAGER = "kube-controller-manager"
_ROUND = "monitor"


class NodeLifecycle:
    """Follows all nodes. Nodes of other clients are expected to report; a scenario's own are silent when it says so."""

    def __init__(self, context: WorldContext, simulated: Collection[str]) -> None:
        self._env = context.env
        self._store = context.store
        self._now = context.now
        self._simulated = simulated
        self._nodes: dict[str, Object] = {}
        self._silent_at: dict[str, float] = {}  # node: time at which it counts as silent
        self._rates = TaintRates()
        self._monitor = Timer(self._env, self._round)
        self._queue = DelayedQueue(context, "node-lifecycle-controller", DELAY, self._set_no_schedule)
        self._store.subscribe(self._on_node, "nodes")

    def expect_silence(self, name: str) -> None:
        """Expect no report of a node any more: its last one was just now."""
        self._silent_at[name] = self._env.now + MONITOR_GRACE
        self._wake(self._silent_at[name])

    def expect_reports(self, name: str) -> None:
        """Take a simulated node's kubelet for alive."""
        self._silent_at.pop(name, None)

    def _on_node(self, change: Change) -> None:
        node, name = change.object, change.object["metadata"]["name"]
        if change.type == "DELETED":
            self._nodes.pop(name, None)
            self._silent_at.pop(name, None)
            return
        self._nodes[name] = node
        if name not in self._simulated and _heartbeat(node) != _heartbeat(change.old or {}):
            self.expect_silence(name)
        if _no_schedule_taints(node) != _wanted_no_schedule(node):
            self._queue.add(name)
        if _no_execute_taints(node) != _wanted_no_execute(node):
            self._wake(self._env.now)

    def _wake(self, at: float) -> None:
        """Plan the monitor's next round, at or after a time."""
        due = math.ceil(at / MONITOR_PERIOD) * MONITOR_PERIOD
        planned = self._monitor.due
        if planned is None or due < planned:
            self._monitor.set(due)

    def _set_no_schedule(self, name: str) -> None:
        node = self._nodes.get(name)
        if node is None:
            return
        wanted = _wanted_no_schedule(node)
        others = [taint for taint in _taints(node) if taint["effect"] != NO_SCHEDULE or taint["key"] not in _OWN]
        kept = [taint for taint in _taints(node) if taint["effect"] == NO_SCHEDULE and taint["key"] in wanted]
        added = [self._taint(key, NO_SCHEDULE) for key in wanted if key not in {taint["key"] for taint in kept}]
        if len(kept) + len(others) < len(_taints(node)) or added:
            self._write_taints(name, [*kept, *added, *others])

    def _round(self) -> None:
        """Look at all nodes, as the monitor does."""
        for name, at in list(self._silent_at.items()):
            if at <= self._env.now and name in self._nodes:
                del self._silent_at[name]
                self._mark_unknown(self._nodes[name])
        disrupted = all_are_disrupted(self._nodes.values())
        later = list(self._silent_at.values())
        for name, node in list(self._nodes.items()):
            again = self._set_no_execute(name, node, disrupted)
            later += [] if again is None else [again]
        if later:
            self._wake(max(min(later), self._env.now + 1e-9))

    def _set_no_execute(self, name: str, node: Object, disrupted: bool) -> float | None:
        """Give a node its `NoExecute` taints; return the time of another attempt if it is too early for them."""
        wanted = [] if disrupted else _wanted_no_execute(node)
        present = _no_execute_taints(node)
        if wanted == present:
            return self._env.now + MONITOR_PERIOD if disrupted and _wanted_no_execute(node) else None
        if wanted and not present:
            at = self._rates.next_taint(node, self._nodes.values(), self._env.now)
            if at is None or at > self._env.now:
                return self._env.now + MONITOR_PERIOD
        others = [taint for taint in _taints(node) if taint["effect"] != NO_EXECUTE or taint["key"] not in _OWN]
        self._write_taints(name, [*others, *(self._taint(key, NO_EXECUTE) for key in wanted)])
        return None

    def _taint(self, key: str, effect: str) -> dict[str, Any]:
        return {"key": key, "effect": effect, "timeAdded": format_time(self._now())}

    def _write_taints(self, name: str, taints: Sequence[Object]) -> None:
        self._store.patch("nodes", "", name, {"spec": {"taints": list(taints) or None}}, manager=_MANAGER)

    def _mark_unknown(self, node: Object) -> None:
        name, before = node["metadata"]["name"], (node.get("status") or {}).get("conditions") or ()
        unknown = [_unknown(type_, condition(node, type_)) for type_ in _REPORTED]
        body = {"status": {"conditions": with_conditions(before, unknown, format_time(self._now()))}}
        self._store.patch("nodes", "", name, body, subresource="status", manager=_MANAGER)
        for pod in self._store.list("pods", field_selector=f"spec.nodeName={name}").items:
            self._mark_unready(pod)

    def _mark_unready(self, pod: Object) -> None:
        old = (pod.get("status") or {}).get("conditions") or ()
        unready = [{**item, "status": "False"} for item in old if item["type"] == "Ready"]
        if not unready or unready == list(old):
            return
        namespace, name = split(key(pod))
        body = {"status": {"conditions": with_conditions(old, unready, format_time(self._now()))}}
        try:
            self._store.patch("pods", namespace, name, body, subresource="status", manager=_MANAGER)
        except ApiError as error:
            if error.code != 404:
                raise


def _unknown(type_: str, current: Object | None) -> Object:
    if current is None:
        reason, message = "NodeStatusNeverUpdated", "Kubelet never posted node status."
    else:
        reason, message = "NodeStatusUnknown", "Kubelet stopped posting node status."
    return {**(current or {"type": type_}), "status": "Unknown", "reason": reason, "message": message}


def _heartbeat(node: Object) -> tuple[Any, ...]:
    ready = condition(node, "Ready") if node else None
    return () if ready is None or ready["status"] == "Unknown" else (ready["status"], ready.get("lastHeartbeatTime"))


def _taints(node: Object) -> Sequence[Object]:
    return node["spec"].get("taints") or ()


def _no_schedule_taints(node: Object) -> list[str]:
    return [taint["key"] for taint in _taints(node) if taint["effect"] == NO_SCHEDULE and taint["key"] in _OWN]


def _wanted_no_schedule(node: Object) -> list[str]:
    conditions = (node.get("status") or {}).get("conditions") or ()
    found = [_TAINTS.get((item["type"], item["status"])) for item in conditions]
    return [taint for taint in found if taint] + ([UNSCHEDULABLE] if node["spec"].get("unschedulable") else [])


def _no_execute_taints(node: Object) -> list[str]:
    return [taint["key"] for taint in _taints(node) if taint["effect"] == NO_EXECUTE and taint["key"] in _OWN]


def _wanted_no_execute(node: Object) -> list[str]:
    ready = condition(node, "Ready")
    taint = _OF_READY.get(ready["status"]) if ready is not None else None
    return [taint] if taint else []
