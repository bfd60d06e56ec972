"""An API server of a few lines, which can be away, slow, or forget old versions; not a test.

The twin's own store is tried against the whole operator elsewhere. Here a test has to say exactly what the server does
and when, and see each request that comes.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar

import msgspec
import structlog

from controller.api.types import Kind, ObjectMeta, Resource
from controller.client.interface import AlreadyExists, ClientError, Conflict, Expired, NotFound, ObjectList, WatchEvent

T = TypeVar("T", bound=Resource)


QUIET = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
"""A log that writes nothing."""


class FakeServer:
    """What all its clients share: objects, and the log of their changes."""

    def __init__(self) -> None:
        self.version = 0
        self.objects: dict[str, Any] = {}
        self.log: list[tuple[int, WatchEvent[Any]]] = []
        self.compacted = 0
        self.changed = asyncio.Event()
        self.cut = 0

    def put(self, obj: Resource) -> Any:
        """Stores an object under the next version."""
        known = obj.key in self.objects
        stored = self._stamped(obj)
        self.objects[obj.key] = stored
        self._record("MODIFIED" if known else "ADDED", stored)
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


class FakeCluster:
    """One client's view. `trouble` is raised by each request while it is set (by writes after they are done, if it
    `loses_answers`); while `hangs`, none is answered."""

    def __init__(self, server: FakeServer, *, latency: float = 0.0) -> None:
        self.server = server
        self.latency = latency
        self.trouble: ClientError | None = None
        self.unwatchable: ClientError | None = None
        self.hangs = False
        self.loses_answers = False
        self.ends_at_once = False
        self.asked: list[tuple[float, str]] = []

    def count(self, verb: str) -> int:
        return sum(asked == verb for _, asked in self.asked)

    async def get(self, kind: Kind[T], namespace: str, name: str) -> T:
        await self._reach("get")
        found = self.server.objects.get(f"{namespace}/{name}")
        if found is None:
            raise NotFound("not found", code=404)
        return found

    async def list(self, kind: Kind[T], *, namespace: str = "", label_selector: str = "") -> ObjectList[T]:
        await self._reach("list")
        return ObjectList(list(self.server.objects.values()), str(self.server.version))

    async def watch(
        self, kind: Kind[T], *, resource_version: str, namespace: str = "", label_selector: str = "", name: str = ""
    ) -> AsyncIterator[WatchEvent[T]]:
        await self._reach("watch")
        if self.unwatchable is not None:
            raise self.unwatchable
        server, version, cut = self.server, int(resource_version or self.server.version), self.server.cut
        for obj in list(server.objects.values()) if not resource_version else ():
            if name in ("", obj.metadata.name):
                yield WatchEvent("ADDED", obj)
        if self.ends_at_once:
            return
        while True:
            if version < server.compacted:
                raise Expired("too old", code=410)
            fresh = [(at, event) for at, event in server.log if at > version]
            for at, event in fresh:
                version = at
                if name in ("", event.object.metadata.name):
                    yield event
            if self.trouble is not None:
                raise self.trouble
            if server.cut > cut:
                return
            if not fresh:
                await server.changed.wait()

    async def create(self, kind: Kind[T], obj: T) -> T:
        await self._reach("create")
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
        await self._reach("patch")
        found = await self._found(f"{namespace}/{name}", resource_version)
        changed = kind.decode(_merged(kind.encode(found), body))
        answer: T = self.server.put(changed)
        await asyncio.sleep(self.latency / 2)
        if self.trouble is not None:
            raise self.trouble
        return answer

    async def _found(self, key: str, resource_version: str) -> Any:
        found = self.server.objects.get(key)
        if found is None:
            raise NotFound("not found", code=404)
        if resource_version and found.metadata.resource_version != resource_version:
            raise Conflict("changed since", code=409)
        return found

    async def _reach(self, verb: str) -> None:
        self.asked.append((asyncio.get_running_loop().time(), verb))
        await asyncio.sleep(self.latency / 2)
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        if self.trouble is not None and not (self.loses_answers and verb in ("create", "patch")):
            raise self.trouble


def _merged(old: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping) or not isinstance(old, Mapping):
        return patch
    merged = {**old, **{key: _merged(old.get(key), value) for key, value in patch.items()}}
    return {key: value for key, value in merged.items() if value is not None}


def _with(struct: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(struct, **fields)
