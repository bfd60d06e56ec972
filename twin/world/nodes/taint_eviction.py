"""The taint eviction controller: deletes pods that do not tolerate a `NoExecute` taint of their node.

A toleration with `tolerationSeconds` delays the deletion, and a removed taint cancels it. Source:
`pkg/controller/tainteviction/taint_eviction.go`. Pods are followed once a node has such a taint.
"""

from collections.abc import Sequence
from functools import partial

from formats.timestamps import format_time
from twin.apiserver import ApiError, Change
from twin.apiserver.meta.objects import Object, is_terminating, with_conditions
from twin.world.context import WorldContext
from twin.world.scheduling.scheduler import tolerates
from twin.world.work import Timer

NO_EXECUTE = "NoExecute"
_MANAGER = "kube-controller-manager"
_EVICTED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "DeletionByTaintManager",
    "message": "Taint manager: deleting due to NoExecute taint",
}


class TaintEvictions:
    """Follows the taints of all nodes."""

    def __init__(self, context: WorldContext) -> None:
        self._env = context.env
        self._store = context.store
        self._now = context.now
        self._taints: dict[str, Sequence[Object]] = {}  # by node
        self._timers: dict[str, tuple[str, Timer]] = {}  # pod's uid -> node, timer
        self._follows_pods = False
        self._store.subscribe(self._on_node, "nodes")

    def _on_node(self, change: Change) -> None:
        name = change.object["metadata"]["name"]
        taints = [item for item in change.object["spec"].get("taints") or () if item["effect"] == NO_EXECUTE]
        if change.type == "DELETED":
            taints = []
        if taints == list(self._taints.get(name, ())):
            return
        self._taints[name] = taints
        if not self._follows_pods:
            self._follows_pods = True
            self._store.subscribe(self._on_pod, "pods")
        for uid in [uid for uid, (node, _) in self._timers.items() if node == name]:
            self._cancel(uid)
        for pod in self._store.list("pods", field_selector=f"spec.nodeName={name}").items if taints else ():
            self._schedule(pod)

    def _on_pod(self, change: Change) -> None:
        pod, old = change.object, change.old
        if change.type == "DELETED":
            self._cancel(pod["metadata"]["uid"])
        elif self._taints.get(pod["spec"].get("nodeName", "")) and (old is None or not old["spec"].get("nodeName")):
            self._schedule(pod)

    def _schedule(self, pod: Object) -> None:
        node, uid = pod["spec"]["nodeName"], pod["metadata"]["uid"]
        seconds = seconds_tolerated(pod, self._taints[node])
        if seconds is None or is_terminating(pod):
            return
        timer = Timer(self._env, partial(self._evict, pod))
        self._timers[uid] = (node, timer)
        timer.set(self._env.now + seconds)

    def _cancel(self, uid: str) -> None:
        _, timer = self._timers.pop(uid, ("", None))
        if timer is not None:
            timer.cancel()

    def _evict(self, pod: Object) -> None:
        meta = pod["metadata"]
        self._timers.pop(meta["uid"], None)
        namespace, name = meta["namespace"], meta["name"]
        try:
            current = self._store.get("pods", namespace, name)
            if current["metadata"]["uid"] != meta["uid"] or is_terminating(current):
                return
            old = (current.get("status") or {}).get("conditions") or ()
            body = {"status": {"conditions": with_conditions(old, [_EVICTED], format_time(self._now()))}}
            self._store.patch("pods", namespace, name, body, subresource="status", manager=_MANAGER)
            self._store.delete("pods", namespace, name, uid=meta["uid"])
        except ApiError as error:
            if error.code not in (404, 409):  # deleted in the meantime, or replaced by another pod of that name
                raise


def seconds_tolerated(pod: Object, taints: Sequence[Object]) -> float | None:
    """Return for how long a pod tolerates the taints, in seconds: 0 for not at all, None for ever."""
    tolerations = [tolerates(pod, taint) for taint in taints]
    if any(item is None for item in tolerations):
        return 0.0
    limits = [item["tolerationSeconds"] for item in tolerations if item is not None and "tolerationSeconds" in item]
    return max(0.0, float(min(limits))) if limits else None
