"""Get, list and watch, and nothing else: a cluster that is captured is not touched.

Objects stay the JSON that the server sent, since manifests are to be made of them. Secrets are not among the kinds that
are asked for, so an account that may not read them is enough, and none can end up in a file.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec

from controller.client.config import ConfigError, find
from controller.client.errors import Status, from_status
from controller.client.interface import ClientError, Expired
from controller.client.ratelimit import RateLimit
from controller.client.transport import Connection
from controller.clock import SystemClock

Object = dict[str, Any]

_PAGE = 500
_TIMEOUT = 30.0
_QPS, _BURST = 20.0, 40


class CaptureError(Exception):
    """The cluster cannot be captured; the message says why, on one line."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind that is read."""

    plural: str
    path: str
    kind: str
    api_version: str
    namespaced: bool = True
    needed: bool = True
    """Whether there is no capture without it."""

    def where(self, namespace: str) -> str:
        root, _, plural = self.path.rpartition("/")
        return f"{root}/namespaces/{namespace}/{plural}" if namespace and self.namespaced else self.path


ADAPTERS = Resource(
    "modeladapters", "/apis/model.aibrix.ai/v1alpha1/modeladapters", "ModelAdapter", "model.aibrix.ai/v1alpha1"
)
PODS = Resource("pods", "/api/v1/pods", "Pod", "v1")
DEPLOYMENTS = Resource("deployments", "/apis/apps/v1/deployments", "Deployment", "apps/v1")
SERVICES = Resource("services", "/api/v1/services", "Service", "v1", needed=False)
NODES = Resource("nodes", "/api/v1/nodes", "Node", "v1", namespaced=False, needed=False)
RESOURCES = (ADAPTERS, PODS, DEPLOYMENTS, SERVICES, NODES)


class ClusterReader:
    """The three verbs, on raw objects."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def server(self) -> str:
        return self._connection.server

    async def list(self, resource: Resource, namespace: str) -> tuple[list[Object], str]:
        """All objects, and the version from which to watch on."""
        items: list[Object] = []
        query: dict[str, str] = {"limit": str(_PAGE)}
        while True:
            answer = await self._connection.request("GET", resource.where(namespace), query)
            page = _page(answer)
            items += [{"apiVersion": resource.api_version, "kind": resource.kind, **item} for item in page["items"]]
            if not page["metadata"].get("continue"):
                return items, str(page["metadata"].get("resourceVersion", ""))
            query["continue"] = page["metadata"]["continue"]

    async def watch(self, resource: Resource, namespace: str, version: str) -> AsyncIterator[tuple[str, Object]]:
        """Changes after that version, until the server ends the stream; bookmarks too.

        Raises:
            Expired: list again.
        """
        query = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version}
        async for line in self._connection.lines(resource.where(namespace), query):
            event = msgspec.json.decode(line)
            if event["type"] == "ERROR":
                raise from_status(msgspec.convert(event["object"], Status, strict=False))
            yield event["type"], {"apiVersion": resource.api_version, "kind": resource.kind, **event["object"]}


def _page(answer: bytes) -> dict[str, Any]:
    try:
        found: dict[str, Any] = msgspec.json.decode(answer)
        return {"items": found.get("items") or [], "metadata": found.get("metadata") or {}}
    except (msgspec.DecodeError, AttributeError):
        raise CaptureError("the server answered a list with something else; is it a Kubernetes API?") from None


@asynccontextmanager
async def open_reader(kubeconfig: str, context: str) -> AsyncIterator[ClusterReader]:
    """A reader of the cluster that a kubeconfig (or what stands for one) leads to.

    Raises:
        CaptureError: there is no way to it.
    """
    try:
        access = find(kubeconfig, context, SystemClock())
        limit = RateLimit(_QPS, _BURST)
        async with Connection(access, limit=limit, timeout=_TIMEOUT, rng=Random()) as connection:
            yield ClusterReader(connection)
    except ConfigError as error:
        raise CaptureError(str(error)) from None


def error_line(error: ClientError) -> str:
    """An error of the server's, on one line."""
    return " ".join(str(error).split())


def is_expired(error: ClientError) -> bool:
    """Whether a watch has to begin with a new list."""
    return isinstance(error, Expired)
