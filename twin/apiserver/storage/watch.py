"""What has happened to the objects of one resource, and watches that read it.

All watches of a resource read one log, each from its own place in it, so a write costs the same however many
watch. A watch that has read everything leaves a future that the next write resolves; nothing polls. The log
is bounded: who falls out of it gets 410, as from a real server, and lists again.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from twin.apiserver.meta.errors import ApiError, Object, expired
from twin.apiserver.meta.selectors import Predicate

WINDOW = 10_000  # changes that are remembered for each resource; a real server keeps 5 minutes' worth
BOOKMARK_EVERY = 100  # changes that a watch did not want, before it is told how far it has come


@dataclass(frozen=True, slots=True)
class Change:
    """A committed write as watchers see it: the object as it is (or last was), and as it was before."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    resource: str
    object: Object
    old: Object | None = None


class WatchCache:
    """The latest changes of one resource, in order, and who waits for the next."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.revisions: list[int] = []
        self.dropped = 0
        """How many changes have been forgotten: position `p` is at index `p - dropped`."""
        self.floor = 0
        """Revision of the latest change that has been forgotten: nobody can watch from before it."""
        self.waiting: list[asyncio.Future[None]] = []

    @property
    def end(self) -> int:
        """The position of the next change."""
        return self.dropped + len(self.changes)

    def append(self, change: Change, revision: int) -> None:
        """Remember a change and wake all who wait."""
        self.changes.append(change)
        self.revisions.append(revision)
        if len(self.changes) > WINDOW + WINDOW // 10:
            self._drop(WINDOW // 10)
        if self.waiting:
            self.wake()

    def wake(self) -> None:
        """Let every waiting watch look again."""
        waiting, self.waiting = self.waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def forget(self, revision: int) -> None:
        """Forget all changes so far; watches from before `revision` are refused from now on."""
        self._drop(len(self.changes))
        self.floor = revision

    def _drop(self, count: int) -> None:
        if count:
            self.floor = self.revisions[count - 1]
            del self.changes[:count]
            del self.revisions[:count]
            self.dropped += count

    def position_after(self, revision: int) -> int | None:
        """Where to read on after `revision`; None if that has been forgotten."""
        if revision < self.floor:
            return None
        return self.dropped + bisect_right(self.revisions, revision)

    def since(self, revision: int) -> Sequence[Change] | None:
        """The changes after `revision`, oldest first; None if some have been forgotten."""
        position = self.position_after(revision)
        return None if position is None else self.changes[position - self.dropped :]


class Watch:
    """An endless async iterator of changes; `close` ends it, also while somebody waits in it.

    Iteration raises `ApiError` 410 if what comes next has been forgotten.
    """

    def __init__(
        self,
        log: WatchCache,
        *,
        position: int | None,
        initial: Sequence[Change] = (),
        wanted: Predicate | None = None,
        bookmark: Callable[[], Change] | None = None,
    ) -> None:
        self._log = log
        self._position = position
        self._pending = list(reversed(initial))
        self._wanted = wanted
        self._bookmark = bookmark
        self._skipped = 0
        self._closed = False
        self._failure: ApiError | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while True:
            change = self._next()
            if change is not None:
                return change
            if self._closed:
                raise StopAsyncIteration
            await self._wait()

    async def batch(self) -> list[Change]:
        """All changes that are there, at least one: waits for it if need be. Empty once closed."""
        while True:
            if changes := self.take():
                return changes
            if self._closed:
                return []
            await self._wait()

    def take(self) -> list[Change]:
        """All changes that are there now, perhaps none; never waits."""
        changes: list[Change] = []
        while (change := self._next()) is not None:
            changes.append(change)
        return changes

    def bookmark(self) -> Change:
        """A mark of how far the server is.

        Raises:
            ValueError: the watch was opened without bookmarks.
        """
        if self._bookmark is None:
            raise ValueError("this watch was opened without bookmarks")
        return self._bookmark()

    def close(self) -> None:
        """End the stream at once: what has not been read is lost."""
        self._closed = True
        self._pending.clear()
        self._log.wake()

    def fail(self, error: ApiError) -> None:
        """End the stream with an error, as a server does that cannot go on."""
        self._failure = error
        self._log.wake()

    def _wait(self) -> asyncio.Future[None]:
        future = asyncio.get_running_loop().create_future()
        self._log.waiting.append(future)
        return future

    def _next(self) -> Change | None:
        if self._closed:
            return None
        if self._failure is not None:
            raise self._failure
        if self._pending:
            return self._pending.pop()
        log = self._log
        if self._position is None or self._position < log.dropped:
            raise expired("too old resource version: the changes after it have been compacted away")
        while self._position < log.end:
            change = log.changes[self._position - log.dropped]
            self._position += 1
            seen = change if self._wanted is None else _seen(change, self._wanted)
            if seen is not None:
                self._skipped = 0
                return seen
            self._skipped += 1
        if self._bookmark is not None and self._skipped >= BOOKMARK_EVERY:
            self._skipped = 0
            return self._bookmark()
        return None


def _seen(change: Change, wanted: Predicate) -> Change | None:
    """A change as it looks through a selector: what leaves it is deleted, what enters it is added."""
    before = change.old is not None and wanted(change.old)
    if change.type == "DELETED":
        return change if before else None
    if wanted(change.object):
        return change if before or change.type == "ADDED" else Change("ADDED", change.resource, change.object)
    if not before or change.old is None:
        return None
    version = change.object["metadata"]["resourceVersion"]
    left = {**change.old, "metadata": {**change.old["metadata"], "resourceVersion": version}}
    return Change("DELETED", change.resource, left, change.old)
