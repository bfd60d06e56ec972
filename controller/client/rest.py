"""Seam 1 on a live cluster: each verb is a request to an API server, and a watch is an answer that does not end.

What a request is sent with (credentials, time-outs, tries) is `kube_connection.py`'s; what the answers hold,
`kube_decoding.py`'s. The contract suite holds this to what the twin's store does, verb by verb.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from random import Random
from typing import Any, TypeVar
from urllib.parse import quote

from structlog.typing import FilteringBoundLogger

from controller.api.types import Kind, Resource
from controller.client.codec import Decoder, page
from controller.client.interface import (
    FIELD_MANAGER,
    Expired,
    ObjectList,
    Propagation,
    Subresource,
    Unavailable,
    WatchEvent,
)
from controller.client.transport import Connection

T = TypeVar("T", bound=Resource)

_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"
_PAGE_SIZE = 500
"""Objects a page; client-go's number."""
_WATCH_SECONDS = 300.0
"""The server ends a watch after once to twice as long, so that not all of them begin anew at the same time."""
_TOO_SHORT = 1.0
"""Seconds; a watch that ends sooner and without a word is a fault, and is not to be begun anew at once."""


class RestClient:
    """A `Client` behind an API server."""

    def __init__(self, connection: Connection, rng: Random, log: FilteringBoundLogger) -> None:
        self._connection = connection
        self._rng = rng
        self._log = log
        self._decoders: dict[str, Decoder[Any]] = {}

    # -- reading

    async def get(self, kind: Kind[T], namespace: str, name: str) -> T:
        return self._decoder(kind).object(await self._connection.request("GET", path(kind, namespace, name)))

    async def list(self, kind: Kind[T], *, namespace: str = "", label_selector: str = "") -> ObjectList[T]:
        query = {"limit": str(_PAGE_SIZE), **_selecting(label_selector)}
        try:
            return await self._pages(kind, path(kind, namespace), query)
        except Expired:  # between two pages, the server forgot what the first was a part of
            return await self._pages(kind, path(kind, namespace), _selecting(label_selector))

    async def _pages(self, kind: Kind[T], where: str, query: Mapping[str, str]) -> ObjectList[T]:
        items: list[T] = []
        further: dict[str, str] = {}
        while True:
            part = page(await self._connection.request("GET", where, {**query, **further}))
            items += self._decoder(kind).objects(part.items or [])
            if not part.metadata.next:
                return ObjectList(items, part.metadata.resource_version)
            further = {"continue": part.metadata.next}

    async def watch(
        self, kind: Kind[T], *, resource_version: str, namespace: str = "", label_selector: str = "", name: str = ""
    ) -> AsyncIterator[WatchEvent[T]]:
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(int(_WATCH_SECONDS * (1 + self._rng.random()))),
            **_selecting(label_selector),
            **({"resourceVersion": resource_version} if resource_version else {}),
            **({"fieldSelector": f"metadata.name={name}"} if name else {}),
        }
        decoder = self._decoder(kind)
        loop = asyncio.get_running_loop()
        started, heard = loop.time(), False
        async for line in self._connection.lines(path(kind, namespace), query):
            event = decoder.event(line)
            heard = True
            if event is not None:
                yield event
        if not heard and loop.time() < started + _TOO_SHORT:
            raise Unavailable(f"{self._connection.server} ended a watch of {kind.plural} as soon as it had begun")

    # -- writing

    async def create(self, kind: Kind[T], obj: T) -> T:
        body, where = kind.desired(obj), path(kind, obj.metadata.namespace)
        return self._decoder(kind).object(await self._connection.request("POST", where, _managed(), body))

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
        where = path(kind, namespace, name, subresource)
        return self._decoder(kind).object(await self._connection.request("PATCH", where, _managed(), body, _MERGE))

    async def apply(self, kind: Kind[T], obj: T, *, force: bool = True) -> T:
        where = path(kind, obj.metadata.namespace, obj.metadata.name)
        query = {**_managed(), "force": "true" if force else "false"}
        answer = await self._connection.request("PATCH", where, query, kind.desired(obj), _APPLY)
        return self._decoder(kind).object(answer)

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
        place = f"{kind.api_version}/{kind.kind}"
        if place not in self._decoders:
            self._decoders[place] = Decoder(kind, self._log)
        return self._decoders[place]


def path(kind: Kind[Any], namespace: str = "", name: str = "", subresource: str = "") -> str:
    """Where a kind, or one of its objects, is served."""
    root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.api_version}"
    within = f"/namespaces/{quote(namespace, safe='')}" if kind.namespaced and namespace else ""
    parts = [part for part in (quote(name, safe=""), subresource) if part]
    return "/".join([f"{root}{within}/{kind.plural}", *parts])


def _managed() -> dict[str, str]:
    return {"fieldManager": FIELD_MANAGER}


def _selecting(label_selector: str) -> dict[str, str]:
    return {"labelSelector": label_selector} if label_selector else {}
