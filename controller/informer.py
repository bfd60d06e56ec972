"""List and watch one kind into a cache that everybody reads (as client-go's shared informers).

The cache also takes what the controller's own writes returned (`observe`), so that a reconcile never decides on
less than it has written itself; the watch event of the same version is then no news. Versions are compared as
numbers, which Kubernetes allows since 1.35 and etcd has always made true.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from structlog.typing import FilteringBoundLogger

from controller.cluster import Cluster, ClusterError, Expired
from controller.resources import Kind, Resource

T = TypeVar("T", bound=Resource)

Handler = Callable[[T | None, T | None], None]
"""Called with (old, new) after each change; None for what is not there."""

_FIRST_RETRY = 0.5
_LONGEST_RETRY = 30.0
"""Seconds between attempts to list or watch again."""
_DELETIONS_KEPT = 4096
"""Deleted keys that are remembered, so that a late answer to a write does not bring the object back."""


class Informer(Generic[T]):
    """A cache of one kind, by key; `run` keeps it true."""

    def __init__(self, cluster: Cluster, kind: Kind[T], log: FilteringBoundLogger, *, label_selector: str = "") -> None:
        self._cluster = cluster
        self._kind = kind
        self._log = log
        self._label_selector = label_selector
        self._objects: dict[str, T] = {}
        self._deleted: dict[str, int] = {}
        self._handlers: list[Handler[T]] = []
        self._synced = asyncio.Event()

    def on_change(self, handler: Handler[T]) -> None:
        self._handlers.append(handler)

    def get(self, key: str) -> T | None:
        return self._objects.get(key)

    def __iter__(self) -> Iterator[T]:
        return iter(self._objects.values())

    def __len__(self) -> int:
        return len(self._objects)

    async def synced(self) -> None:
        """Returns once the first list is in."""
        await self._synced.wait()

    def observe(self, obj: T) -> None:
        """Takes an object that a write returned, unless something newer is known."""
        version = _version(obj)
        if version <= self._deleted.get(obj.key, 0):
            return
        old = self._objects.get(obj.key)
        if old is None or _version(old) < version:
            self._objects[obj.key] = obj
            self._tell(old, obj)

    async def run(self) -> None:
        """Lists, watches, and starts anew when the watch has become too old; for ever."""
        wait = _FIRST_RETRY
        version = ""
        while True:
            try:
                if not version:
                    version = await self._list()
                wait = _FIRST_RETRY
                version = await self._watch(version)
            except Expired:
                version = ""
            except ClusterError as error:
                self._log.warning("watch interrupted", kind=self._kind.kind, error=str(error), wait_seconds=wait)
                await asyncio.sleep(error.retry_after or wait)
                wait = min(wait * 2, _LONGEST_RETRY)

    async def _list(self) -> str:
        listing = await self._cluster.list(self._kind, label_selector=self._label_selector)
        version = int(listing.resource_version or 0)
        present = {obj.key for obj in listing.items}
        for obj in listing.items:
            self.observe(obj)
        for key in [key for key in self._objects if key not in present]:
            if _version(self._objects[key]) <= version:
                self._remove(key, version)
        self._synced.set()
        return listing.resource_version

    async def _watch(self, version: str) -> str:
        """Follows changes until the server ends the stream; returns the version to go on from."""
        changes = self._cluster.watch(self._kind, resource_version=version, label_selector=self._label_selector)
        async for event in changes:
            obj = event.object
            version = obj.metadata.resource_version
            if event.type == "DELETED":
                self._remove(obj.key, int(version))
            elif event.type != "BOOKMARK":
                self.observe(obj)
        return version

    def _remove(self, key: str, version: int) -> None:
        old = self._objects.get(key)
        self._deleted.pop(key, None)
        self._deleted[key] = version
        if len(self._deleted) > _DELETIONS_KEPT:
            del self._deleted[next(iter(self._deleted))]
        if old is not None and _version(old) <= version:
            del self._objects[key]
            self._tell(old, None)

    def _tell(self, old: T | None, new: T | None) -> None:
        for handler in self._handlers:
            handler(old, new)


def _version(obj: Resource) -> int:
    return int(obj.metadata.resource_version)
