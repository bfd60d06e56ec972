"""Queue of keys to reconcile: deduplicated, delayed, and rate-limited per failing key (as client-go's workqueue).

Only one worker processes a key at a time; a key that is added meanwhile is queued again when that worker is done. Keys
added with `first` precede all others: finishing what has begun has precedence over beginning more. After `shut_down` no
key is added; `get` still returns the queued keys, and then None.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol

_FIRST_RETRY = 0.005
"""Seconds; the first delay of client-go's DefaultControllerRateLimiter."""
_LONGEST_RETRY = 30.0
"""Seconds. client-go has 1000, which is too long for an adapter whose object can be written again."""


class QueueMetricsProvider(Protocol):
    """Metrics of a queue. Times are in seconds."""

    def added(self) -> None:
        """Count a key that was queued."""
        ...

    def taken(self, waited: float) -> None:
        """Observe how long a key was queued."""
        ...

    def finished(self, worked: float) -> None:
        """Observe how long a worker processed a key."""
        ...

    def retried(self) -> None:
        """Count a key that failed and is queued again."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    key: str
    added: float
    """Loop time."""
    first: bool


class WorkQueue:
    """Keys for the workers of one event loop."""

    def __init__(self, metrics: QueueMetricsProvider | None = None) -> None:
        self._metrics = metrics
        self._first: deque[_Entry] = deque()
        self._ready: deque[_Entry] = deque()
        self._queued: dict[str, _Entry] = {}
        """The valid entry of each queued key; an entry that was moved to `_first` stays in `_ready` as well."""
        self._active: dict[str, float] = {}
        self._again: dict[str, _Entry] = {}
        self._delayed: dict[str, asyncio.TimerHandle] = {}
        self._failures: dict[str, int] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._shut = False

    def __len__(self) -> int:
        return len(self._queued)

    @property
    def active(self) -> int:
        """Number of keys in progress."""
        return len(self._active)

    def unfinished(self) -> tuple[float, float]:
        """Return how long keys have been in progress: (sum, longest), in seconds."""
        now = asyncio.get_running_loop().time()
        ages = [now - since for since in self._active.values()]
        return sum(ages), max(ages, default=0.0)

    def failures(self, key: str) -> int:
        """Return the number of consecutive failures of a key."""
        return self._failures.get(key, 0)

    def add(self, key: str, *, first: bool = False) -> None:
        """Queue a key; `first`: before all keys that were not added so."""
        if self._shut:
            return
        pending = self._queued.get(key) or self._again.get(key)
        if pending is not None and (pending.first or not first):
            return
        if pending is None and self._metrics is not None:
            self._metrics.added()
        added = pending.added if pending is not None else asyncio.get_running_loop().time()
        entry = _Entry(key, added, first)
        if key in self._active:
            self._again[key] = entry
        else:
            self._enqueue(entry)

    def add_after(self, key: str, seconds: float) -> None:
        """Queue a key after a delay; an earlier time for the same key takes precedence."""
        if self._shut:
            return
        if seconds <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        pending = self._delayed.get(key)
        if pending is not None:
            if pending.when() <= due:
                return
            pending.cancel()
        self._delayed[key] = loop.call_at(due, self._due, key)

    def add_rate_limited(self, key: str, at_least: float = 0.0) -> None:
        """Queue a failed key again, with a longer delay after each failure and at least `at_least` seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        if self._metrics is not None:
            self._metrics.retried()
        self.add_after(key, max(at_least, min(_FIRST_RETRY * 2.0 ** min(failures, 30), _LONGEST_RETRY)))

    def forget(self, key: str) -> None:
        """Reset the failures of a key."""
        self._failures.pop(key, None)

    async def get(self) -> str | None:
        """Wait for a key, and return it; the caller has to call `done`. None: the queue is shut down and empty."""
        while not self._queued:
            if self._shut:
                return None
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake()  # it was woken for a key that another worker has to take
                raise
        entry = self._take()
        now = asyncio.get_running_loop().time()
        if self._metrics is not None:
            self._metrics.taken(now - entry.added)
        self._active[entry.key] = now
        return entry.key

    def done(self, key: str) -> None:
        """Mark a key as processed."""
        since = self._active.pop(key)
        if self._metrics is not None:
            self._metrics.finished(asyncio.get_running_loop().time() - since)
        entry = self._again.pop(key, None)
        if entry is not None:
            self._enqueue(entry)

    def shut_down(self) -> None:
        """Accept no more keys, and drop delayed ones; workers get None once the queue is empty."""
        self._shut = True
        for handle in self._delayed.values():
            handle.cancel()
        self._delayed.clear()
        while self._waiting:
            self._wake()

    def _due(self, key: str) -> None:
        del self._delayed[key]
        self.add(key)

    def _enqueue(self, entry: _Entry) -> None:
        is_new = entry.key not in self._queued
        self._queued[entry.key] = entry
        (self._first if entry.first else self._ready).append(entry)
        if is_new:
            self._wake()

    def _take(self) -> _Entry:
        """Remove and return the next valid entry."""
        while True:
            entry = (self._first or self._ready).popleft()
            if self._queued.get(entry.key) is entry:
                del self._queued[entry.key]
                return entry

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
