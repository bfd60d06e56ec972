"""Keys to reconcile: deduplicated, delayed, and slower each time a key fails (as client-go's workqueue).

A key is handed to one worker at a time; added while it is worked on, it comes again when that is done. After
`shut_down` nothing new is taken, what waits is still handed out, and then `get` says that there is no more.
"""

import asyncio
from collections import deque
from typing import Protocol

_FIRST_RETRY = 0.005
"""Seconds; client-go's DefaultControllerRateLimiter starts there."""
_LONGEST_RETRY = 30.0
"""Seconds. client-go goes to 1000; an adapter whose object could be written again should not wait that long."""


class QueueMetricsProvider(Protocol):
    """Hears what a queue does, for its metrics. Times are seconds."""

    def added(self) -> None:
        """A key was put in line."""
        ...

    def taken(self, waited: float) -> None:
        """A worker got a key that had waited so long."""
        ...

    def finished(self, worked: float) -> None:
        """A worker is done with a key after so long."""
        ...

    def retried(self) -> None:
        """A key failed and will come again."""
        ...


class WorkQueue:
    """For one event loop."""

    def __init__(self, watcher: QueueMetricsProvider | None = None) -> None:
        self._watcher = watcher
        self._ready: deque[str] = deque()
        self._queued: dict[str, float] = {}
        self._active: dict[str, float] = {}
        self._again: dict[str, float] = {}
        self._delayed: dict[str, asyncio.TimerHandle] = {}
        self._failures: dict[str, int] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._shut = False

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def active(self) -> int:
        """Keys that workers have in hand."""
        return len(self._active)

    def unfinished(self) -> tuple[float, float]:
        """Seconds since the keys in hand were taken: (all together, the longest)."""
        now = asyncio.get_running_loop().time()
        ages = [now - since for since in self._active.values()]
        return sum(ages), max(ages, default=0.0)

    def failures(self, key: str) -> int:
        """How often in a row the key has failed."""
        return self._failures.get(key, 0)

    def add(self, key: str) -> None:
        """Asks for the key to be worked on as soon as a worker is free."""
        if self._shut or key in self._queued or key in self._again:
            return
        if self._watcher is not None:
            self._watcher.added()
        now = asyncio.get_running_loop().time()
        if key in self._active:
            self._again[key] = now
        else:
            self._enqueue(key, now)

    def add_after(self, key: str, seconds: float) -> None:
        """Asks for the key in so many seconds, now if none; an earlier wish for the same key stands."""
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
        """Asks for a key again that failed: later each time, and not before `at_least` seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        if self._watcher is not None:
            self._watcher.retried()
        self.add_after(key, max(at_least, min(_FIRST_RETRY * 2.0 ** min(failures, 30), _LONGEST_RETRY)))

    def forget(self, key: str) -> None:
        """Forgets that the key failed."""
        self._failures.pop(key, None)

    async def get(self) -> str | None:
        """Waits for a key; whoever got it calls `done`. None: the queue is shut down and empty."""
        while not self._ready:
            if self._shut:
                return None
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake()  # this one was woken for a key that another must take now
                raise
        key = self._ready.popleft()
        now = asyncio.get_running_loop().time()
        if self._watcher is not None:
            self._watcher.taken(now - self._queued[key])
        del self._queued[key]
        self._active[key] = now
        return key

    def done(self, key: str) -> None:
        """The worker has finished with the key."""
        since = self._active.pop(key)
        if self._watcher is not None:
            self._watcher.finished(asyncio.get_running_loop().time() - since)
        asked = self._again.pop(key, None)
        if asked is not None:
            self._enqueue(key, asked)

    def shut_down(self) -> None:
        """Takes nothing new, drops what is delayed, and tells workers once nothing waits any more."""
        self._shut = True
        for handle in self._delayed.values():
            handle.cancel()
        self._delayed.clear()
        while self._waiting:
            self._wake()

    def _due(self, key: str) -> None:
        del self._delayed[key]
        self.add(key)

    def _enqueue(self, key: str, asked: float) -> None:
        self._queued[key] = asked
        self._ready.append(key)
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
