"""Keys to reconcile: deduplicated, delayed, and slower each time a key fails (as client-go's workqueue).

A key is handed to one worker at a time; added while it is worked on, it comes again when that is done.
"""

import asyncio
from collections import deque

_FIRST_RETRY = 0.005
"""Seconds; client-go's DefaultControllerRateLimiter starts there."""
_LONGEST_RETRY = 30.0
"""Seconds. client-go goes to 1000; an adapter whose object could be written again should not wait that long."""


class WorkQueue:
    """For one event loop."""

    def __init__(self) -> None:
        self._ready: deque[str] = deque()
        self._queued: set[str] = set()
        self._active: set[str] = set()
        self._again: set[str] = set()
        self._delayed: dict[str, asyncio.TimerHandle] = {}
        self._failures: dict[str, int] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: str) -> None:
        """Asks for the key to be worked on as soon as a worker is free."""
        if key in self._active:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._ready.append(key)
            self._wake()

    def add_after(self, key: str, seconds: float) -> None:
        """Asks for the key in so many seconds; an earlier wish for the same key stands."""
        loop = asyncio.get_running_loop()
        due = loop.time() + max(seconds, 0.0)
        pending = self._delayed.get(key)
        if pending is not None:
            if pending.when() <= due:
                return
            pending.cancel()
        self._delayed[key] = loop.call_at(due, self._due, key)

    def retry(self, key: str, at_least: float = 0.0) -> None:
        """Asks for a key again that failed: later each time, and not before `at_least` seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add_after(key, max(at_least, min(_FIRST_RETRY * 2.0 ** min(failures, 30), _LONGEST_RETRY)))

    def succeeded(self, key: str) -> None:
        """Forgets that the key failed."""
        self._failures.pop(key, None)

    async def get(self) -> str:
        """Waits for a key; whoever got it calls `done`."""
        while not self._ready:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake()  # this one was woken for a key that another must take now
                raise
        key = self._ready.popleft()
        self._queued.discard(key)
        self._active.add(key)
        return key

    def done(self, key: str) -> None:
        """The worker has finished with the key."""
        self._active.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def close(self) -> None:
        """Cancels what is delayed."""
        for handle in self._delayed.values():
            handle.cancel()
        self._delayed.clear()

    def _due(self, key: str) -> None:
        del self._delayed[key]
        self.add(key)

    def _wake(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
