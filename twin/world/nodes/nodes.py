"""The scenario's nodes: their objects, and what happens to their kubelets.

A node that is down has lost power: engines die at once, and nothing reports it. A node that is lost runs on, but its
kubelet does not reach the API server: engines answer, deleted pods do not end. What the cluster makes of both is in
`lifecycle.py` and `taint_eviction.py`; pods stay terminating until they are deleted by force, or the node comes back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from formats.timestamps import format_time
from twin.apiserver.meta.objects import Object, with_conditions
from twin.world.context import WorldContext
from twin.world.kubelet.kubelet import Kubelet
from twin.world.nodes.lifecycle import NodeLifecycle
from twin.world.scheduling.scheduler import GPU

State = Literal["down", "lost", "not ready"]


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A node of the scenario."""

    name: str
    gpus: int
    zone: str = ""


class Nodes:
    """Creates the Node objects, and changes the state of nodes."""

    def __init__(self, context: WorldContext, specs: Sequence[NodeSpec], kubelet: Kubelet) -> None:
        self._store = context.store
        self._now = context.now
        self._specs = {spec.name: spec for spec in specs}
        self._kubelet = kubelet
        self._states: dict[str, State] = {}
        self._lifecycle = NodeLifecycle(context, self._specs)

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
            self._report(created, ready=True, more={"capacity": gpus, "allocatable": gpus})

    def down(self, name: str) -> None:
        """Power off a node.

        Raises:
            ValueError: if there is no such node, or it is already down, lost or not ready.
        """
        self._change(name, "down")
        self._kubelet.power_off(name)
        self._lifecycle.expect_silence(name)

    def up(self, name: str) -> None:
        """Boot a node and report it as ready. Raises ValueError if it is not down."""
        self._restore(name, "down")
        self._kubelet.power_on(name)

    def lose(self, name: str) -> None:
        """Separate a node's kubelet from the API server; its containers run on.

        Raises:
            ValueError: if there is no such node, or it is already down, lost or not ready.
        """
        self._change(name, "lost")
        self._kubelet.disconnect(name)
        self._lifecycle.expect_silence(name)

    def find(self, name: str) -> None:
        """Reconnect a lost node. Raises ValueError if it is not lost."""
        self._restore(name, "lost")
        self._kubelet.reconnect(name)

    def fail(self, name: str) -> None:
        """Report a node as not ready, as a kubelet does whose container runtime or network plugin fails.

        Raises:
            ValueError: if there is no such node, or it is already down, lost or not ready.
        """
        self._change(name, "not ready")
        self._report(self._store.get("nodes", "", name), ready=False)

    def recover(self, name: str) -> None:
        """Report a node as ready again. Raises ValueError if it is not the one that was not ready."""
        self._restore(name, "not ready")

    def exists(self, name: str) -> bool:
        """Return True if a node is one of the scenario's, and has not been deleted."""
        return name in self._specs and any(item["metadata"]["name"] == name for item in self._store.list("nodes").items)

    def check(self, name: str) -> None:
        """Raise ValueError if there is no such node."""
        if not self.exists(name):
            raise ValueError(f"node {name} not found; nodes: {', '.join(self._specs) or 'none'}")

    def _change(self, name: str, state: State) -> None:
        self.check(name)
        if name in self._states:
            raise ValueError(f"node {name} is already {self._states[name]}")
        self._states[name] = state

    def _restore(self, name: str, state: State) -> None:
        self.check(name)
        if self._states.get(name) != state:
            raise ValueError(f"node {name} is not {state}")
        del self._states[name]
        self._lifecycle.expect_reports(name)
        self._report(self._store.get("nodes", "", name), ready=True)

    def _report(self, node: Object, *, ready: bool, more: Object | None = None) -> None:
        old = (node.get("status") or {}).get("conditions") or ()
        conditions = with_conditions(old, [_ready(ready)], format_time(self._now()))
        status: dict[str, Any] = {"conditions": conditions, **(more or {})}
        name = node["metadata"]["name"]
        self._store.patch("nodes", "", name, {"status": status}, subresource="status", manager="kubelet")


def _ready(ready: bool) -> dict[str, str]:
    if ready:
        return {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "kubelet is posting ready status",
        }
    message = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady"
    return {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": message}
