"""A minimal API server that can be unavailable, slow, or drop old versions; not a test.

Other tests run the whole operator on the twin's store. Tests that use this module control exactly when the server does
what, and check each request.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar

import msgspec
import structlog

from controller.api.types import Kind, ObjectMeta, Resource
from controller.client.interface import (
    AlreadyExists,
    ClientError,
    Conflict,
    Expired,
    NotFound,
    ObjectList,
    VersionTooLarge,
    WatchEvent,
)

T = TypeVar("T", bound=Resource)


QUIET = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
"""A log that writes nothing."""


class FakeServer:
    """State shared by all clients: objects and the log of their changes."""

    def __init__(self) -> None:
        self.version = 0
        self.objects: dict[str, Any] = {}
        self.log: list[tuple[int, WatchEvent[Any]]] = []
        self.compacted = 0
        self.changed = asyncio.Event()
        self.cut = 0

    def put(self, obj: Resource) -> Any:
        """Store an object under the next version."""
        exists = obj.key in self.objects
        stored = self._stamped(obj)
        self.objects[obj.key] = stored
        self._record("MODIFIED" if exists else "ADDED", stored)
        return stored

    def remove(self, key: str) -> None:
        self._record("DELETED", self._stamped(self.objects.pop(key)))

    def bookmark(self) -> None:
        """Record a change of an object that is not watched; watchers receive its version."""
        self.version += 1
        meta = ObjectMeta(resource_version=str(self.version))
        self.log.append((self.version, WatchEvent("BOOKMARK", Resource(metadata=meta))))
        self._notify()

    def end_watches(self) -> None:
        self.cut += 1
        self._notify()

    def restore(self, version: int, objects: Mapping[str, Any]) -> None:
        """Go back to a backup: its version and objects; open watches end."""
        self.version, self.objects = version, dict(objects)
        self.log = [(at, event) for at, event in self.log if at <= version]
        self.compacted = min(self.compacted, version)
        self.end_watches()

    def compact(self) -> None:
        """Drop the history of changes: a watch from an older version has to list again."""
        self.compacted = self.version

    def _stamped(self, obj: Resource) -> Any:
        self.version += 1
        meta = _with(obj.metadata, resource_version=str(self.version), uid=obj.metadata.uid or f"uid-{self.version}")
        return _with(obj, metadata=meta)

    def _record(self, type_: Any, obj: Any) -> None:
        self.log.append((self.version, WatchEvent(type_, obj)))
        self._notify()

    def _notify(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class FakeClient:
    """A client of the server.

    While `error` is set, each request raises it; if `loses_answers`, writes raise it after they are done. While `hangs`
    is set, no request gets a response; while `silent` is set, watches stay open and bring nothing.
    """

    def __init__(self, server: FakeServer, *, latency: float = 0.0) -> None:
        self.server = server
        self.latency = latency
        self.error: ClientError | None = None
        self.watch_error: ClientError | None = None
        self.hangs = False
        self.silent = False
        self.loses_answers = False
        self.ends_at_once = False
        self.requests: list[tuple[float, str]] = []

    def count(self, verb: str) -> int:
        return sum(sent == verb for _, sent in self.requests)

    async def get(self, kind: Kind[T], namespace: str, name: str) -> T:
        await self._request("get")
        result = self.server.objects.get(f"{namespace}/{name}")
        if result is None:
            raise NotFound("not found", code=404)
        return result

    async def list(self, kind: Kind[T], *, namespace: str = "", label_selector: str = "") -> ObjectList[T]:
        await self._request("list")
        return ObjectList(list(self.server.objects.values()), str(self.server.version))

    async def watch(
        self, kind: Kind[T], *, resource_version: str, namespace: str = "", label_selector: str = "", name: str = ""
    ) -> AsyncIterator[WatchEvent[T]]:
        await self._request("watch")
        if self.watch_error is not None:
            raise self.watch_error
        server, version, cut = self.server, int(resource_version or self.server.version), self.server.cut
        if version > server.version:
            raise VersionTooLarge("Too large resource version", code=504)
        for obj in list(server.objects.values()) if not resource_version else ():
            if name in ("", obj.metadata.name):
                yield WatchEvent("ADDED", obj)
        if self.ends_at_once:
            return
        while True:
            if self.silent:
                await asyncio.get_running_loop().create_future()
            if version < server.compacted:
                raise Expired("too old", code=410)
            fresh = [(at, event) for at, event in server.log if at > version]
            for at, event in fresh:
                version = at
                if name in ("", event.object.metadata.name):
                    yield event
            if self.error is not None:
                raise self.error
            if server.cut > cut:
                return
            if not fresh:
                await server.changed.wait()

    async def create(self, kind: Kind[T], obj: T) -> T:
        await self._request("create")
        if obj.key in self.server.objects:
            raise AlreadyExists("already exists", code=409)
        return self.server.put(obj)

    async def patch(
        self,
        kind: Kind[T],
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        *,
        resource_version: str = "",
        subresource: str = "",
    ) -> T:
        await self._request("patch")
        existing = await self._existing(f"{namespace}/{name}", resource_version)
        changed = kind.decode(_merged(kind.encode(existing), body))
        answer: T = self.server.put(changed)
        await asyncio.sleep(self.latency / 2)
        if self.error is not None:
            raise self.error
        return answer

    async def _existing(self, key: str, resource_version: str) -> Any:
        result = self.server.objects.get(key)
        if result is None:
            raise NotFound("not found", code=404)
        if resource_version and result.metadata.resource_version != resource_version:
            raise Conflict("changed since", code=409)
        return result

    async def _request(self, verb: str) -> None:
        self.requests.append((asyncio.get_running_loop().time(), verb))
        await asyncio.sleep(self.latency / 2)
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        if self.error is not None and not (self.loses_answers and verb in ("create", "patch")):
            raise self.error


def _merged(old: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping) or not isinstance(old, Mapping):
        return patch
    merged = {**old, **{key: _merged(old.get(key), value) for key, value in patch.items()}}
    return {key: value for key, value in merged.items() if value is not None}


def _with(struct: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(struct, **fields)
