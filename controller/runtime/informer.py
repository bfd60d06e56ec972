"""List and watch one kind into a cache that everybody reads (as client-go's shared informers).

The cache also takes what the controller's own writes returned (`apply_local`), so that a reconcile never decides on
less than it has written itself; the watch event of the same version is then no news. Versions are compared as
numbers, which Kubernetes allows since 1.35 and etcd has always made true.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from structlog.typing import FilteringBoundLogger

from controller.api.types import Kind, Resource
from controller.client.interface import Client, ClientError, Expired

T = TypeVar("T", bound=Resource)

Handler = Callable[[T | None, T | None], None]
"""Called with (old, new) after each change; None for what is not there."""

_FIRST_RETRY = 0.5
_LONGEST_RETRY = 30.0
"""Seconds between attempts to list or watch again."""
_SHORT_WATCH = 1.0
"""Seconds; a watch that ended sooner and brought nothing counts as a failure, as in client-go."""
_DELETIONS_KEPT = 4096
"""Deleted keys that are remembered, so that a late answer to a write does not bring the object back."""


class Informer(Generic[T]):
    """A cache of one kind, by key; `run` keeps it true."""

    def __init__(
        self,
        cluster: Client,
        kind: Kind[T],
        log: FilteringBoundLogger,
        *,
        label_selector: str = "",
        resync: float = 0.0,
    ) -> None:
        self._cluster = cluster
        self._kind = kind
        self._log = log
        self._label_selector = label_selector
        self._resync = resync
        self._version = ""
        """From where to watch on; empty: list first."""
        self._heard = 0
        self._objects: dict[str, T] = {}
        self._deleted: dict[str, int] = {}
        self._handlers: list[Handler[T]] = []
        self._synced = asyncio.Event()

    @property
    def kind(self) -> str:
        return self._kind.kind

    @property
    def is_synced(self) -> bool:
        """Whether the first list is in."""
        return self._synced.is_set()

    def on_change(self, handler: Handler[T]) -> None:
        self._handlers.append(handler)

    def get(self, key: str) -> T | None:
        return self._objects.get(key)

    def __iter__(self) -> Iterator[T]:
        return iter(self._objects.values())

    def __len__(self) -> int:
        return len(self._objects)

    async def wait_for_sync(self) -> None:
        """Returns once the first list is in."""
        await self._synced.wait()

    def apply_local(self, obj: T) -> None:
        """Takes an object that a write returned, unless something newer is known."""
        version = _version(obj)
        if version <= self._deleted.get(obj.key, 0):
            return
        old = self._objects.get(obj.key)
        if old is None or _version(old) < version:
            self._objects[obj.key] = obj
            self._tell(old, obj)

    async def run(self) -> None:
        """Keeps the cache true, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(), name=f"follow {self._kind.plural}")
            if self._resync:
                tasks.create_task(self._tell_again(), name=f"resync {self._kind.plural}")

    async def _follow(self) -> None:
        """Lists, watches, and starts anew where the watch ended, or with a list when that has become too old.

        A round that brought nothing and soon ended is followed by a wait, longer each time, however it ended: a server
        that answers at once with nothing is not to be asked as fast as it answers.
        """
        loop = asyncio.get_running_loop()
        wait = _FIRST_RETRY
        while True:
            started, heard, listed = loop.time(), self._heard, not self._version
            trouble: ClientError | None = None
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except Expired as error:
                self._version, trouble = "", error
            except ClientError as error:
                trouble = error
            if self._heard > heard or loop.time() - started >= _SHORT_WATCH:
                wait = _FIRST_RETRY
                if trouble is None or isinstance(trouble, Expired):
                    continue
            elif isinstance(trouble, Expired) and not listed:
                continue
            self._log.warning(
                "watch interrupted",
                kind=self._kind.kind,
                error=str(trouble or "it ended at once"),
                error_class=type(trouble).__name__ if trouble else "ShortWatch",
                wait_seconds=wait,
            )
            await asyncio.sleep((trouble.retry_after if trouble else None) or wait)
            wait = min(wait * 2, _LONGEST_RETRY)

    async def _tell_again(self) -> None:
        """Now and then shows every object to the handlers as if it had changed: what one missed, it sees then."""
        while True:
            await asyncio.sleep(self._resync)
            for obj in list(self._objects.values()):
                self._tell(obj, obj)

    async def _list(self) -> None:
        listing = await self._cluster.list(self._kind, label_selector=self._label_selector)
        version = int(listing.resource_version or 0)
        present = {obj.key for obj in listing.items}
        for obj in listing.items:
            self.apply_local(obj)
        for key in [key for key in self._objects if key not in present]:
            if _version(self._objects[key]) <= version:
                self._remove(key, version)
        self._version = listing.resource_version
        self._synced.set()

    async def _watch(self) -> None:
        """Follows changes until the server ends the stream."""
        changes = self._cluster.watch(self._kind, resource_version=self._version, label_selector=self._label_selector)
        async for event in changes:
            obj = event.object
            self._version = obj.metadata.resource_version
            self._heard += 1
            if event.type == "DELETED":
                self._remove(obj.key, int(self._version))
            elif event.type != "BOOKMARK":
                self.apply_local(obj)

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
