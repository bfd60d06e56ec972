"""The Kubernetes API as a story uses it: the same requests to a real API server and to the twin's."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

Object = dict[str, Any]

_CORE, _APPS, _BATCH, _POLICY = "api/v1", "apis/apps/v1", "apis/batch/v1", "apis/policy/v1"
_RESOURCES = {
    "Namespace": (_CORE, "namespaces"),
    "Node": (_CORE, "nodes"),
    "Pod": (_CORE, "pods"),
    "Service": (_CORE, "services"),
    "ConfigMap": (_CORE, "configmaps"),
    "ResourceQuota": (_CORE, "resourcequotas"),
    "LimitRange": (_CORE, "limitranges"),
    "Deployment": (_APPS, "deployments"),
    "ReplicaSet": (_APPS, "replicasets"),
    "StatefulSet": (_APPS, "statefulsets"),
    "DaemonSet": (_APPS, "daemonsets"),
    "Job": (_BATCH, "jobs"),
    "PodDisruptionBudget": (_POLICY, "poddisruptionbudgets"),
    "EndpointSlice": ("apis/discovery.k8s.io/v1", "endpointslices"),
    "Lease": ("apis/coordination.k8s.io/v1", "leases"),
    "HorizontalPodAutoscaler": ("apis/autoscaling/v2", "horizontalpodautoscalers"),
    "CustomResourceDefinition": ("apis/apiextensions.k8s.io/v1", "customresourcedefinitions"),
    "Gang": ("apis/example.com/v1", "gangs"),
    "APIService": ("apis/apiregistration.k8s.io/v1", "apiservices"),
    "PriorityClass": ("apis/scheduling.k8s.io/v1", "priorityclasses"),
}
CLUSTER_KINDS = ("Namespace", "Node", "PriorityClass", "CustomResourceDefinition", "APIService")
_STRATEGIC = "application/strategic-merge-patch+json"


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to a request.

    Attributes:
        code: HTTP status.
        body: the decoded body.
    """

    code: int
    body: Object

    @property
    def refusal(self) -> Object | None:
        """The parts of a Status that say why the request was refused; None if it was not."""
        if self.code < 400:
            return None
        causes = (self.body.get("details") or {}).get("causes")
        kept = {"code": self.code, "reason": self.body.get("reason", ""), "message": self.body.get("message", "")}
        return {**kept, **({"causes": causes} if causes else {})}


@dataclass(frozen=True, slots=True)
class Api:
    """Requests of one story.

    Attributes:
        http: client of the API server.
        namespace: the story's namespace.
    """

    http: httpx.AsyncClient
    namespace: str

    async def create(self, manifest: Object) -> Answer:
        return await self._send("POST", self._path(manifest["kind"]), _with_version(manifest))

    async def get(self, kind: str, name: str) -> Answer:
        return await self._send("GET", self._path(kind, name))

    async def list(self, kind: str) -> list[Object]:
        """Return the objects of a kind; an empty list if the server does not have the kind."""
        answer = await self._send("GET", self._path(kind))
        identity = {"apiVersion": _api_version(kind), "kind": kind}
        return [{**identity, **item} for item in answer.body.get("items") or ()] if answer.code == 200 else []

    async def patch(self, kind: str, name: str, body: Object, subresource: str = "") -> Answer:
        """Patch an object; lists of a built-in kind are merged by their keys."""
        return await self._send("PATCH", self._path(kind, name, subresource), body, _STRATEGIC)

    async def replace(self, manifest: Object, subresource: str = "") -> Answer:
        path = self._path(manifest["kind"], manifest["metadata"]["name"], subresource)
        return await self._send("PUT", path, _with_version(manifest))

    async def delete(self, kind: str, name: str, **options: Any) -> Answer:
        """Delete an object; the options are those of DeleteOptions."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
        return await self._send("DELETE", self._path(kind, name), body)

    async def evict(self, pod: str) -> Answer:
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": self.namespace}}
        return await self._send("POST", self._path("Pod", pod, "eviction"), body)

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, content_type: str = "application/json"
    ) -> Answer:
        headers = {"content-type": content_type} if body is not None else {}
        response = await self.http.request(method, path, json=body, headers=headers)
        return Answer(response.status_code, response.json())

    def _path(self, kind: str, name: str = "", subresource: str = "") -> str:
        version, plural = _RESOURCES[kind]
        scope = "" if kind in CLUSTER_KINDS else f"/namespaces/{self.namespace}"
        return f"/{version}{scope}/{plural}" + "".join(f"/{part}" for part in (name, subresource) if part)


def _api_version(kind: str) -> str:
    return _RESOURCES[kind][0].split("/", 1)[1]


def _with_version(manifest: Object) -> Object:
    return {"apiVersion": _api_version(manifest["kind"]), **manifest}
