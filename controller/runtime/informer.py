"""Cache of one kind, kept up to date by list and watch (as client-go's shared informers).

The controller also adds the objects that its own writes returned (`apply_local`), so that a reconcile never decides on
less than it has written itself; the watch event of the same version is then ignored. Versions are compared as numbers,
which Kubernetes allows since 1.35 and which has always been correct with etcd. A server that was restored from a backup
has lower versions than before: its next list replaces everything.

A watch that is open and silent looks like a quiet cluster. API servers send a bookmark every minute, so a watch that
brings nothing in two and a half minutes is given up, and everything is listed again.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Generic, TypeVar

from structlog.typing import FilteringBoundLogger

from controller.api.types import Kind, Resource
from controller.client.interface import Client, ClientError, Expired, ObjectList, VersionTooLarge

T = TypeVar("T", bound=Resource)

Handler = Callable[[T | None, T | None], None]
"""Called with (old, new) after each change; None if there is no such object."""

_FIRST_RETRY = 0.5
_LONGEST_RETRY = 30.0
"""Seconds between attempts to list or watch again."""
_SHORT_WATCH = 1.0
"""Seconds; a watch that ends sooner without an event counts as a failure, as in client-go."""
_SILENCE = 150.0
"""Seconds without an event or a bookmark after which a watch is given up. A kube-apiserver 1.36.3 sends a bookmark on
every watch after 59 to 61 s, also without changes (`defaultBookmarkFrequency` in its cacher is one minute)."""
_DELETIONS_KEPT = 4096
"""Deleted keys that are kept, so that the late response of a write does not restore the object."""


class Informer(Generic[T]):
    """Objects of one kind, by key; `run` keeps them up to date."""

    def __init__(
        self,
        client: Client,
        kind: Kind[T],
        log: FilteringBoundLogger,
        *,
        label_selector: str = "",
        resync: float = 0.0,
    ) -> None:
        self._client = client
        self._kind = kind
        self._log = log
        self._label_selector = label_selector
        self._resync = resync
        self._version = ""
        """Version from which to watch; empty: list first."""
        self._restored = False
        """True if the server's versions went back since the last list."""
        self._on_restored: list[Callable[[], None]] = []
        self._watching: asyncio.Timeout | None = None
        """Scope of the watch in progress."""
        self._heard = 0.0
        """Loop time of the last event or bookmark, or of the beginning of the watch."""
        self._events = 0
        self._objects: dict[str, T] = {}
        self._deleted: dict[str, int] = {}
        self._handlers: list[Handler[T]] = []
        self._synced = asyncio.Event()

    @property
    def kind(self) -> str:
        return self._kind.kind

    @property
    def is_synced(self) -> bool:
        """True if the first list is complete."""
        return self._synced.is_set()

    def on_change(self, handler: Handler[T]) -> None:
        """Call `handler` after each change."""
        self._handlers.append(handler)

    def on_restored(self, observer: Callable[[], None]) -> None:
        """Call `observer` when the versions of the server turn out to have gone back."""
        self._on_restored.append(observer)

    def relist(self) -> None:
        """List again and accept lower versions: a quiet kind may not notice by itself that its versions are void."""
        self._restored, self._version = True, ""
        self._give_up_watch()

    def get(self, key: str) -> T | None:
        """Return the object, if there is one."""
        return self._objects.get(key)

    def __iter__(self) -> Iterator[T]:
        return iter(self._objects.values())

    def __len__(self) -> int:
        return len(self._objects)

    async def wait_for_sync(self) -> None:
        """Wait until the first list is complete."""
        await self._synced.wait()

    def apply_local(self, obj: T) -> None:
        """Store an object that a write returned, unless a newer version is stored or it was deleted."""
        version = _version(obj)
        if version <= self._deleted.get(obj.key, 0):
            return
        old = self._objects.get(obj.key)
        if old is None or _version(old) < version:
            self._objects[obj.key] = obj
            self._notify(old, obj)

    async def run(self) -> None:
        """List and watch, forever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(), name=f"follow {self._kind.plural}")
            if self._resync:
                tasks.create_task(self._resync_all(), name=f"resync {self._kind.plural}")

    async def _follow(self) -> None:
        """List and watch; continue an ended watch from its last version, or list again if that has expired.

        After a watch that ended soon without an event there is a delay, longer each time, however it ended: a server
        that responds at once with nothing must not be polled in a loop.
        """
        loop = asyncio.get_running_loop()
        wait = _FIRST_RETRY
        while True:
            events, listed = self._events, not self._version
            began = inf  # of the watch; a list, or its failure, may take any time
            failure: ClientError | None = None
            try:
                if not self._version:
                    await self._list()
                began = loop.time()
                await self._watch()
            except Expired as error:
                self._version, failure = "", error
                if isinstance(error, VersionTooLarge):
                    self._notice_restored()
            except TimeoutError:
                self._version, failure = "", Expired("the watch was given up")
            except ClientError as error:
                failure = error
            if self._events > events or loop.time() - began >= _SHORT_WATCH:
                wait = _FIRST_RETRY
                if failure is None or isinstance(failure, Expired):
                    continue
            elif isinstance(failure, Expired) and not listed:
                continue
            self._log.warning(
                "watch interrupted",
                kind=self._kind.kind,
                error=str(failure or "it ended at once"),
                error_class=type(failure).__name__ if failure else "ShortWatch",
                wait_seconds=wait,
            )
            await asyncio.sleep((failure.retry_after if failure else None) or wait)
            wait = min(wait * 2, _LONGEST_RETRY)

    async def _resync_all(self) -> None:
        """Call the handlers for every object periodically, as if it had changed."""
        while True:
            await asyncio.sleep(self._resync)
            for obj in list(self._objects.values()):
                self._notify(obj, obj)

    def _notice_restored(self) -> None:
        self._restored = True
        for observer in self._on_restored:
            observer()

    async def _list(self) -> None:
        objects = await self._client.list(self._kind, label_selector=self._label_selector)
        if self._restored:
            self._replace(objects.items)
        else:
            self._merge(objects)
        self._version, self._restored = objects.resource_version, False
        self._synced.set()

    def _replace(self, objects: Sequence[T]) -> None:
        """Replace everything: the versions in the cache cannot be compared with those of the list."""
        self._log.warning("the versions of the API server went back", kind=self._kind.kind)
        self._deleted.clear()
        before, self._objects = self._objects, {obj.key: obj for obj in objects}
        for key, old in before.items():
            if key not in self._objects:
                self._notify(old, None)
        for obj in objects:
            if obj != before.get(obj.key):
                self._notify(before.get(obj.key), obj)

    def _merge(self, objects: ObjectList[T]) -> None:
        """Store what is newer than the cache, and remove what is not there and was not written since."""
        version = int(objects.resource_version or 0)
        present = {obj.key for obj in objects.items}
        for obj in objects.items:
            self.apply_local(obj)
        for key in [key for key in self._objects if key not in present]:
            if _version(self._objects[key]) <= version:
                self._remove(key, version)

    async def _watch(self) -> None:
        """Process events until the server ends the stream.

        Raises:
            TimeoutError: it is silent, or `relist` was called.
        """
        self._heard = asyncio.get_running_loop().time()
        watchdog = asyncio.ensure_future(self._give_up_silence())
        try:
            async with asyncio.timeout(None) as self._watching:
                await self._process_events()
        finally:
            self._watching = None
            watchdog.cancel()

    async def _give_up_silence(self) -> None:
        """Wait until the watch has been silent for too long, and end it."""
        loop = asyncio.get_running_loop()
        left = _SILENCE
        while left > 0:
            await asyncio.sleep(left)
            left = self._heard + _SILENCE - loop.time()
        self._log.warning("watch is silent", kind=self._kind.kind, seconds=_SILENCE)
        self._give_up_watch()

    def _give_up_watch(self) -> None:
        """End the watch in progress, unless it is being ended already."""
        if self._watching is not None and not self._watching.expired():
            self._watching.reschedule(asyncio.get_running_loop().time())

    async def _process_events(self) -> None:
        changes = self._client.watch(self._kind, resource_version=self._version, label_selector=self._label_selector)
        loop = asyncio.get_running_loop()
        async for event in changes:
            self._heard, obj = loop.time(), event.object
            self._version = obj.metadata.resource_version
            self._events += 1
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
            self._notify(old, None)

    def _notify(self, old: T | None, new: T | None) -> None:
        for handler in self._handlers:
            handler(old, new)


def _version(obj: Resource) -> int:
    return int(obj.metadata.resource_version)
