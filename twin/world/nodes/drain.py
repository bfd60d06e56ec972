"""`kubectl drain` and `kubectl uncordon`. Source: `k8s.io/kubectl/pkg/drain`."""

from twin.apiserver import ApiError
from twin.apiserver.meta.objects import Object, is_terminating
from twin.apiserver.storage.eviction import EvictionOptions, evict_pod
from twin.world.context import WorldContext
from twin.world.nodes.nodes import Nodes

EVICTION_RETRY = 5.0  # seconds; "error when evicting pod (will retry after 5s)"


class Drain:
    """Cordons nodes, and evicts their pods."""

    def __init__(self, context: WorldContext, nodes: Nodes) -> None:
        self._env = context.env
        self._store = context.store
        self._now = context.now
        self._nodes = nodes

    def begin(self, node: str) -> None:
        """Cordon a node and evict its pods as their disruption budgets allow.

        A pod that may not go is tried again every five seconds, until the node is uncordoned.

        Raises:
            ValueError: if there is no such node.
        """
        self._nodes.check(node)
        self._store.patch("nodes", "", node, {"spec": {"unschedulable": True}}, manager="kubectl-drain")
        for pod in self._store.list("pods", field_selector=f"spec.nodeName={node}").items:
            if not is_terminating(pod) and not _is_daemon_pod(pod):
                self._evict(pod)

    def uncordon(self, node: str) -> None:
        """Make a node schedulable again. Raises ValueError if there is no such node."""
        self._nodes.check(node)
        self._store.patch("nodes", "", node, {"spec": {"unschedulable": None}}, manager="kubectl-cordon")

    def _evict(self, pod: Object) -> None:
        meta, node = pod["metadata"], pod["spec"]["nodeName"]
        if not self._nodes.exists(node) or not self._store.get("nodes", "", node)["spec"].get("unschedulable"):
            return
        try:
            options = EvictionOptions(uid=meta["uid"])
            evict_pod(self._store, meta["namespace"], meta["name"], self._now(), options)
        except ApiError as error:
            if error.code == 429:
                self._env.timeout(EVICTION_RETRY).callbacks.append(lambda _: self._evict(pod))
            elif error.code not in (404, 409, 500):  # gone, replaced, or with two budgets: kubectl drain gives up
                raise


def _is_daemon_pod(pod: Object) -> bool:
    """Return True for a pod that stays on a drained node (`--ignore-daemonsets`)."""
    owners = pod["metadata"].get("ownerReferences") or ()
    return any(owner.get("controller") and owner["kind"] == "DaemonSet" for owner in owners)
