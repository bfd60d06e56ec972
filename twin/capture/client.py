"""Read-only client of the cluster that is captured: list and watch.

Objects stay the JSON that the server sent, since they become manifests. Secrets are not read: no permission is needed
for them, and none can end up in a file.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec

from controller.client.config import ConfigError, find_config
from controller.client.errors import Status, from_status
from controller.client.interface import ClientError, Expired
from controller.client.ratelimit import rate_limits
from controller.client.transport import Connection
from controller.clock import SystemClock

Object = dict[str, Any]

_PAGE = 500
_TIMEOUT = 30.0
_QPS, _BURST = 20.0, 40


class CaptureError(Exception):
    """The cluster cannot be captured; the message is one line."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource that is read."""

    plural: str
    path: str
    kind: str
    api_version: str
    namespaced: bool = True
    required: bool = True
    """If it cannot be read, the capture fails."""

    def url_path(self, namespace: str) -> str:
        root, _, plural = self.path.rpartition("/")
        return f"{root}/namespaces/{namespace}/{plural}" if namespace and self.namespaced else self.path


ADAPTERS = Resource(
    "modeladapters", "/apis/model.aibrix.ai/v1alpha1/modeladapters", "ModelAdapter", "model.aibrix.ai/v1alpha1"
)
PODS = Resource("pods", "/api/v1/pods", "Pod", "v1")
DEPLOYMENTS = Resource("deployments", "/apis/apps/v1/deployments", "Deployment", "apps/v1")
STATEFUL_SETS = Resource("statefulsets", "/apis/apps/v1/statefulsets", "StatefulSet", "apps/v1", required=False)
SERVICES = Resource("services", "/api/v1/services", "Service", "v1", required=False)
NODES = Resource("nodes", "/api/v1/nodes", "Node", "v1", namespaced=False, required=False)
RESOURCES = (ADAPTERS, PODS, DEPLOYMENTS, STATEFUL_SETS, SERVICES, NODES)


class ClusterReader:
    """List and watch, returning raw objects."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def server(self) -> str:
        return self._connection.server

    async def list(self, resource: Resource, namespace: str) -> tuple[list[Object], str]:
        """Return all objects, and the resource version to watch from."""
        items: list[Object] = []
        query: dict[str, str] = {"limit": str(_PAGE)}
        while True:
            answer = await self._connection.request("GET", resource.url_path(namespace), query)
            page = _parse_page(answer)
            items += [{"apiVersion": resource.api_version, "kind": resource.kind, **item} for item in page["items"]]
            if not page["metadata"].get("continue"):
                return items, str(page["metadata"].get("resourceVersion", ""))
            query["continue"] = page["metadata"]["continue"]

    async def watch(self, resource: Resource, namespace: str, version: str) -> AsyncIterator[tuple[str, Object]]:
        """Yield the changes after that version, bookmarks included, until the server ends the stream.

        Raises:
            Expired: if the version is too old; list again.
        """
        query = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version}
        async for line in self._connection.lines(resource.url_path(namespace), query):
            event = msgspec.json.decode(line)
            if event["type"] == "ERROR":
                raise from_status(msgspec.convert(event["object"], Status, strict=False))
            yield event["type"], {"apiVersion": resource.api_version, "kind": resource.kind, **event["object"]}


def _parse_page(answer: bytes) -> dict[str, Any]:
    try:
        document: dict[str, Any] = msgspec.json.decode(answer)
        return {"items": document.get("items") or [], "metadata": document.get("metadata") or {}}
    except (msgspec.DecodeError, AttributeError):
        raise CaptureError("the server returned an invalid list; is it a Kubernetes API?") from None


@asynccontextmanager
async def open_reader(kubeconfig: str, context: str) -> AsyncIterator[ClusterReader]:
    """Open a reader for the cluster of a kubeconfig.

    Raises:
        CaptureError: if there is no usable client configuration.
    """
    try:
        access = find_config(kubeconfig, context, SystemClock())
        limits = rate_limits(_QPS, _BURST)
        async with Connection(access, limits=limits, timeout=_TIMEOUT, rng=Random()) as connection:
            yield ClusterReader(connection)
    except ConfigError as error:
        raise CaptureError(str(error)) from None


def error_line(error: ClientError) -> str:
    """Return an API error on one line."""
    return " ".join(str(error).split())


def is_expired(error: ClientError) -> bool:
    """Return True if the watch must start again with a list."""
    return isinstance(error, Expired)
