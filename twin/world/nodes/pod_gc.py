"""Pod garbage collection: the pods of a node that was deleted. Source: `pkg/controller/podgc`."""

from formats.timestamps import format_time
from twin.apiserver import Change
from twin.apiserver.meta.objects import key, split, with_conditions
from twin.world.context import WorldContext

ORPHANED_AFTER = 60.0  # seconds; podgc's quarantineTime of 40 s, and its check every 20 s
_MANAGER = "kube-controller-manager"
_ORPHANED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "DeletionByPodGC",
    "message": "PodGC: node no longer exists",
}


class PodGarbageCollector:
    """Deletes pods whose node does not exist any more."""

    def __init__(self, context: WorldContext) -> None:
        self._env = context.env
        self._store = context.store
        self._now = context.now
        self._store.subscribe(self._on_node, "nodes")

    def _on_node(self, change: Change) -> None:
        if change.type == "DELETED":
            name = change.object["metadata"]["name"]
            self._env.timeout(ORPHANED_AFTER).callbacks.append(lambda _: self._collect(name))

    def _collect(self, node: str) -> None:
        if any(item["metadata"]["name"] == node for item in self._store.list("nodes").items):
            return
        for pod in self._store.list("pods", field_selector=f"spec.nodeName={node}").items:
            namespace, name = split(key(pod))
            old = (pod.get("status") or {}).get("conditions") or ()
            conditions = with_conditions(old, [_ORPHANED], format_time(self._now()))
            status = {"phase": "Failed", "conditions": conditions}
            body = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
            self._store.patch("pods", namespace, name, body, subresource="status", manager=_MANAGER)
            self._store.delete("pods", namespace, name, uid=pod["metadata"]["uid"], grace_period=0)
