"""The RayService controller of KubeRay, as far as it makes pods: one RayCluster for each RayService.

Ray Serve's applications (`serveConfigV2`) are not simulated: no pod of a RayService runs vLLM's API server, and Ray
Serve loads adapters by itself. Source: `rayservice_controller.go` of ray-project/kuberay 1.7. Not simulated: a new
RayCluster for a changed `rayClusterConfig`.
"""

from typing import ClassVar

from twin.apiserver import Change
from twin.apiserver.meta.objects import Object, is_terminating
from twin.world.context import WorldContext
from twin.world.groups.group_controller import GroupController
from twin.world.groups.ray_clusters import RayClusters
from twin.world.names import pod_name
from twin.world.workloads.replicasets import Index

_ORIGIN = {"ray.io/originated-from-crd": "RayService"}
_ORIGIN_NAME = "ray.io/originated-from-cr-name"


class RayServices(GroupController):
    """Keeps the RayCluster of each RayService."""

    resource: ClassVar = "rayservices.ray.io"
    api_version: ClassVar = "ray.io/v1"
    kind: ClassVar = "RayService"
    manager: ClassVar[str] = "kuberay-operator"

    def __init__(self, context: WorldContext, pods: Index) -> None:
        super().__init__(context, pods)
        self._clusters = Index()

    def _start(self) -> None:
        self._store.subscribe(self._on_cluster, RayClusters.resource)

    def _on_cluster(self, change: Change) -> None:
        self._clusters.put(change)
        self._on_pod(change)

    def _sync(self, name: str, obj: Object, pods: list[Object]) -> None:  # noqa: ARG002
        clusters = [item for item in self._clusters.of(obj) if not is_terminating(item)]
        if is_terminating(obj) or clusters:
            return
        meta = obj["metadata"]
        rng = self._context.streams.get(f"rayservice/{name}/cluster-names")
        body = {
            "apiVersion": self.api_version,
            "kind": RayClusters.kind,
            "metadata": {
                "name": pod_name(meta["name"], rng),
                "namespace": meta["namespace"],
                "labels": {**(meta.get("labels") or {}), **_ORIGIN, _ORIGIN_NAME: meta["name"]},
                "ownerReferences": [self._reference(obj)],
            },
            "spec": obj["spec"].get("rayClusterConfig") or {},
        }
        self._create_missing(RayClusters.resource, body)
