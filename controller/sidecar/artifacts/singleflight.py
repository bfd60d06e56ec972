"""Deduplicates concurrent calls, like `golang.org/x/sync/singleflight`.

A load continues when its client disconnects, so that the next request for it joins the running one. Work inside a load
(`keep=False`) is cancelled with its last caller.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Cancelled(Exception):
    """The call was cancelled while a caller waited for it."""


class SingleFlight(Generic[T]):
    """Running calls by key."""

    def __init__(self, *, keep: bool = True) -> None:
        """`keep`: a call continues without callers."""
        self._keep = keep
        self._tasks: dict[Hashable, asyncio.Task[T]] = {}
        self._unfinished: set[asyncio.Task[T]] = set()
        """Those of `_tasks`, and cancelled ones that still close what they have opened."""
        self._waiting: Counter[asyncio.Task[T]] = Counter()

    async def do(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """Return the result of the call for `key`, which is started if it is not running.

        Raises:
            Cancelled: if the call was cancelled by `cancel` or `close`.
        """
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(_run(work))
            self._tasks[key] = task
            self._unfinished.add(task)
            task.add_done_callback(lambda done: self._remove(key, done))
        self._waiting[task] += 1
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if task.cancelled() and not (caller is not None and caller.cancelling()):
                raise Cancelled from None
            raise
        finally:
            self._waiting[task] -= 1
            if not self._waiting[task]:
                del self._waiting[task]
                if not self._keep:
                    self._cancel(key, task)

    def cancel(self, matches: Callable[[Hashable], bool]) -> None:
        """Cancel the calls whose key matches."""
        for key, task in list(self._tasks.items()):
            if matches(key):
                self._cancel(key, task)

    async def close(self) -> None:
        """Cancel all calls and wait for them, and for those that were cancelled before."""
        for key, task in list(self._tasks.items()):
            self._cancel(key, task)
        await asyncio.gather(*self._unfinished, return_exceptions=True)

    def _cancel(self, key: Hashable, task: asyncio.Task[T]) -> None:
        """Cancel a task; later callers start a new one."""
        task.cancel()
        if self._tasks.get(key) is task:
            del self._tasks[key]

    def _remove(self, key: Hashable, task: asyncio.Task[T]) -> None:
        self._unfinished.discard(task)
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled():
            task.exception()  # marks the exception as retrieved; there may be no caller left


async def _run(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
