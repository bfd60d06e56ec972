"""The `Client` of a live cluster: maps each verb to a request to the API server.

`transport.py` sends requests (credentials, timeouts, retries), `codec.py` decodes responses. The contract suite
compares this client with the twin's, verb by verb.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from random import Random
from typing import Any, TypeVar
from urllib.parse import quote

from structlog.typing import FilteringBoundLogger

from controller.api.types import Kind, Resource
from controller.client.codec import Decoder, decode_page
from controller.client.interface import (
    FIELD_MANAGER,
    Expired,
    ObjectList,
    Propagation,
    Subresource,
    Unavailable,
    WatchEvent,
)
from controller.client.limits import MAX_LIST, MAX_OBJECTS
from controller.client.transport import Connection

T = TypeVar("T", bound=Resource)

_MERGE = "application/merge-patch+json"
_PAGE_SIZE = 500
"""Objects per page, as in client-go."""
_WATCH_SECONDS = 300.0
"""Minimum duration of a watch; the maximum is twice as long, so that not all watches restart at the same time."""
_MIN_WATCH_SECONDS = 1.0
"""A watch that ends earlier and without an event is treated as an error, so that it is not restarted in a loop."""


class RestClient:
    """A `Client` that sends requests to an API server."""

    def __init__(self, connection: Connection, rng: Random, log: FilteringBoundLogger) -> None:
        self._connection = connection
        self._rng = rng
        self._log = log
        self._decoders: dict[str, Decoder[Any]] = {}

    # -- reading

    async def get(self, kind: Kind[T], namespace: str, name: str) -> T:
        return self._decoder(kind).object(await self._connection.request("GET", path(kind, namespace, name)))

    async def list(self, kind: Kind[T], *, namespace: str = "", label_selector: str = "") -> ObjectList[T]:
        query = {"limit": str(_PAGE_SIZE), **_label_query(label_selector)}
        try:
            return await self._pages(kind, path(kind, namespace), query)
        except Expired:  # the snapshot of the first page has expired: list without pages
            return await self._pages(kind, path(kind, namespace), _label_query(label_selector))

    async def _pages(self, kind: Kind[T], path: str, query: Mapping[str, str]) -> ObjectList[T]:
        items: list[T] = []
        token = ""
        while True:
            sent = {**query, "continue": token} if token else query
            page = decode_page(await self._connection.request("GET", path, sent, limit=MAX_LIST))
            items += self._decoder(kind).objects(page.items or [])
            before, token = token, page.metadata.next
            if not token:
                return ObjectList(items, page.metadata.resource_version)
            if token == before or not page.items or len(items) > MAX_OBJECTS:
                raise Unavailable(f"{self._connection.server} does not end its list of {kind.plural}")

    async def watch(
        self, kind: Kind[T], *, resource_version: str, namespace: str = "", label_selector: str = "", name: str = ""
    ) -> AsyncIterator[WatchEvent[T]]:
        if resource_version:
            await self._check_version(kind, namespace, resource_version)
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(int(_WATCH_SECONDS * (1 + self._rng.random()))),
            **_label_query(label_selector),
            **({"resourceVersion": resource_version} if resource_version else {}),
            **({"fieldSelector": f"metadata.name={name}"} if name else {}),
        }
        decoder = self._decoder(kind)
        loop = asyncio.get_running_loop()
        started, received = loop.time(), False
        async for line in self._connection.lines(path(kind, namespace), query):
            event = decoder.event(line)
            received = True
            if event is not None:
                yield event
        if not received and loop.time() < started + _MIN_WATCH_SECONDS:
            raise Unavailable(f"{self._connection.server} ended a watch of {kind.plural} at once")

    async def _check_version(self, kind: Kind[T], namespace: str, resource_version: str) -> None:
        """Check that the server has reached a version.

        A watch from a version in the future is accepted, and silent until then (apiserver, `Cacher.Watch`). After etcd
        was restored from a backup that may take days. A list of one object waits some seconds and is refused.

        Raises:
            VersionTooLarge: if it has not.
        """
        query = {"limit": "1", "resourceVersion": resource_version, "resourceVersionMatch": "NotOlderThan"}
        await self._connection.request("GET", path(kind, namespace), query)

    # -- writing

    async def create(self, kind: Kind[T], obj: T) -> T:
        body, url = kind.desired(obj), path(kind, obj.metadata.namespace)
        return self._decoder(kind).object(await self._connection.request("POST", url, _manager_query(), body))

    async def patch(
        self,
        kind: Kind[T],
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        *,
        resource_version: str = "",
        subresource: Subresource = "",
    ) -> T:
        if resource_version:
            body = {**body, "metadata": {**body.get("metadata", {}), "resourceVersion": resource_version}}
        url = path(kind, namespace, name, subresource)
        return self._decoder(kind).object(await self._connection.request("PATCH", url, _manager_query(), body, _MERGE))

    async def delete(
        self,
        kind: Kind[T],
        namespace: str,
        name: str,
        *,
        uid: str = "",
        propagation: Propagation = "Background",
    ) -> None:
        options: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if uid:
            options["preconditions"] = {"uid": uid}
        await self._connection.request("DELETE", path(kind, namespace, name), None, options)

    def _decoder(self, kind: Kind[T]) -> Decoder[T]:
        name = f"{kind.api_version}/{kind.kind}"
        if name not in self._decoders:
            self._decoders[name] = Decoder(kind, self._log)
        return self._decoders[name]


def path(kind: Kind[Any], namespace: str = "", name: str = "", subresource: str = "") -> str:
    """Return the URL path of a resource type, or of one of its objects."""
    root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.api_version}"
    within = f"/namespaces/{quote(namespace, safe='')}" if kind.namespaced and namespace else ""
    parts = [part for part in (quote(name, safe=""), subresource) if part]
    return "/".join([f"{root}{within}/{kind.plural}", *parts])


def _manager_query() -> dict[str, str]:
    return {"fieldManager": FIELD_MANAGER}


def _label_query(label_selector: str) -> dict[str, str]:
    return {"labelSelector": label_selector} if label_selector else {}
