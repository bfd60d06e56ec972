"""The watch cache of one resource, and the watches that read it.

All watches of a resource share one list of changes, and each has its own position in it, so the cost of a write does
not depend on the number of watches. A watch at the end waits on a future that the next write resolves; nothing polls.
The list is bounded: a watch that falls behind gets 410, as from a real server, and has to list again.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from twin.apiserver.meta.errors import ApiError, Object, expired
from twin.apiserver.meta.selectors import Predicate

WINDOW = 10_000  # changes kept for each resource; a real server keeps 5 minutes
BOOKMARK_EVERY = 100  # non-matching changes after which a watch gets a bookmark
BOOKMARK_INTERVAL = 60.0
"""Seconds between two bookmarks of a watch that asks for them, as from a real server (59 to 61 s from 1.36.3)."""


@dataclass(frozen=True, slots=True)
class Change:
    """A committed write: the new object (the last state, if deleted), and the previous one."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    resource: str
    object: Object
    old: Object | None = None


class WatchCache:
    """The latest changes of one resource, in order, and the futures of waiting watches."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.revisions: list[int] = []
        self.dropped = 0
        """Number of dropped changes: position `p` is at index `p - dropped`."""
        self.floor = 0
        """Revision of the latest dropped change; a watch cannot start before it."""
        self.waiting: list[asyncio.Future[None]] = []

    @property
    def end(self) -> int:
        """Position of the next change."""
        return self.dropped + len(self.changes)

    def append(self, change: Change, revision: int) -> None:
        """Add a change and wake waiting watches."""
        self.changes.append(change)
        self.revisions.append(revision)
        if len(self.changes) > WINDOW + WINDOW // 10:
            self._drop(WINDOW // 10)
        if self.waiting:
            self.wake()

    def wake(self) -> None:
        """Wake all waiting watches."""
        waiting, self.waiting = self.waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def compact(self, revision: int) -> None:
        """Drop all changes; watches from before `revision` are refused."""
        self._drop(len(self.changes))
        self.floor = revision

    def _drop(self, count: int) -> None:
        if count:
            self.floor = self.revisions[count - 1]
            del self.changes[:count]
            del self.revisions[:count]
            self.dropped += count

    def position_after(self, revision: int) -> int | None:
        """Return the position after `revision`, or None if it has been dropped."""
        if revision < self.floor:
            return None
        return self.dropped + bisect_right(self.revisions, revision)

    def since(self, revision: int) -> Sequence[Change] | None:
        """Return the changes after `revision`, oldest first, or None if some have been dropped."""
        position = self.position_after(revision)
        return None if position is None else self.changes[position - self.dropped :]


class Watch:
    """An endless async iterator of changes. `close` ends it, even while a reader waits.

    Iteration raises `ApiError` 410 if the next change has been dropped.
    """

    def __init__(
        self,
        cache: WatchCache,
        *,
        position: int | None,
        initial: Sequence[Change] = (),
        matches: Predicate | None = None,
        bookmark: Callable[[], Change] | None = None,
    ) -> None:
        self._cache = cache
        self._position = position
        self._pending = list(reversed(initial))
        self._matches = matches
        self._bookmark = bookmark
        self._skipped = 0
        self._closed = False
        self._failure: ApiError | None = None
        self._heartbeat: asyncio.TimerHandle | None = None
        self._bookmark_due = False

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
        """Return all available changes, after waiting for at least one. Empty after `close`."""
        while True:
            if changes := self.take():
                return changes
            if self._closed:
                return []
            await self._wait()

    def take(self) -> list[Change]:
        """Return all available changes, possibly none, without waiting."""
        changes: list[Change] = []
        while (change := self._next()) is not None:
            changes.append(change)
        return changes

    def bookmark(self) -> Change:
        """Return a bookmark with the server's current version.

        Raises:
            ValueError: if the watch was opened without bookmarks.
        """
        if self._bookmark is None:
            raise ValueError("this watch was opened without bookmarks")
        return self._bookmark()

    def close(self) -> None:
        """End the stream immediately and discard unread changes."""
        self._closed = True
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        self._pending.clear()
        self._cache.wake()

    def fail(self, error: ApiError) -> None:
        """End the stream with an error."""
        self._failure = error
        self._cache.wake()

    def _wait(self) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        if self._bookmark is not None and self._heartbeat is None:
            self._heartbeat = loop.call_later(BOOKMARK_INTERVAL, self._send_bookmark)
        future = loop.create_future()
        self._cache.waiting.append(future)
        return future

    def _send_bookmark(self) -> None:
        """Let the reader get a bookmark after the changes so far, and again after a minute."""
        self._heartbeat, self._bookmark_due = None, True
        self._cache.wake()

    def _next(self) -> Change | None:
        if self._closed:
            return None
        if self._failure is not None:
            raise self._failure
        if self._pending:
            return self._pending.pop()
        cache = self._cache
        if self._position is None or self._position < cache.dropped:
            raise expired("too old resource version: the changes after it have been compacted away")
        while self._position < cache.end:
            change = cache.changes[self._position - cache.dropped]
            self._position += 1
            selected = change if self._matches is None else _select(change, self._matches)
            if selected is not None:
                self._skipped = 0
                return selected
            self._skipped += 1
        if self._bookmark is not None and (self._bookmark_due or self._skipped >= BOOKMARK_EVERY):
            self._skipped, self._bookmark_due = 0, False
            return self._bookmark()
        return None


def _select(change: Change, matches: Predicate) -> Change | None:
    """Return a change as seen through a selector: leaving it is DELETED, entering it is ADDED."""
    before = change.old is not None and matches(change.old)
    if change.type == "DELETED":
        return change if before else None
    if matches(change.object):
        return change if before or change.type == "ADDED" else Change("ADDED", change.resource, change.object)
    if not before or change.old is None:
        return None
    version = change.object["metadata"]["resourceVersion"]
    left = {**change.old, "metadata": {**change.old["metadata"], "resourceVersion": version}}
    return Change("DELETED", change.resource, left, change.old)
