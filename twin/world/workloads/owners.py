"""Names of the workloads that pods belong to.

A pod's workload is the outermost controller that a user has written: the Deployment of its ReplicaSet, the
LeaderWorkerSet of its StatefulSet, or its own Job. The workers of a group belong to a StatefulSet that a pod owns,
their leader; their LeaderWorkerSet is in a label.
"""

from twin.apiserver import Change, Store
from twin.apiserver.meta.objects import Object, controller_uid
from twin.apiserver.registry.groups.leader_worker_pods import SET_NAME
from twin.world.workloads.replicasets import has_new_owner

OWNERS = (
    "deployments.apps",
    "replicasets.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    "jobs.batch",
    "leaderworkersets.leaderworkerset.x-k8s.io",
    "stormservices.orchestration.aibrix.ai",
    "rolesets.orchestration.aibrix.ai",
    "podsets.orchestration.aibrix.ai",
    "rayservices.ray.io",
    "rayclusters.ray.io",
)
"""Resources whose objects create pods or other owners."""


class Owners:
    """The outermost controllers of pods, by the uid of the innermost."""

    def __init__(self, store: Store) -> None:
        self._names: dict[str, str] = {}
        for resource in OWNERS:
            store.subscribe(self._on_object, resource)

    def of_pod(self, pod: Object) -> str:
        """Return the name of a pod's workload, without namespace; empty for a bare pod."""
        return self._names.get(controller_uid(pod), "")

    def _on_object(self, change: Change) -> None:
        meta = change.object["metadata"]
        if change.type == "DELETED":
            self._names.pop(meta["uid"], None)
        elif meta["uid"] not in self._names or has_new_owner(change):
            group = (meta.get("labels") or {}).get(SET_NAME)
            self._names[meta["uid"]] = self._names.get(controller_uid(change.object)) or group or meta["name"]
