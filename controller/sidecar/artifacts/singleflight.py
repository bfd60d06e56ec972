"""Work that several want at once is done once.

A client that gives up a load neither stops it nor loses it: the next request for the same finds it under way, or
finds what it brought. Work inside of a load ends with the last load that wanted it.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Cancelled(Exception):
    """The work was ended while somebody waited for it."""


class SingleFlight(Generic[T]):
    """Tasks by what they are for."""

    def __init__(self, *, keep: bool = True) -> None:
        """`keep`: whether work goes on when nobody waits for it any more."""
        self._keep = keep
        self._tasks: dict[Hashable, asyncio.Task[T]] = {}
        self._waiting: Counter[asyncio.Task[T]] = Counter()

    async def do(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """The result of the work for `key`, which is begun if it is not under way.

        Raises:
            Cancelled: it was ended; whatever the work itself raises.
        """
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(_run(work))
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        self._waiting[task] += 1
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if task.cancelled() and not (me is not None and me.cancelling()):
                raise Cancelled from None
            raise
        finally:
            self._waiting[task] -= 1
            if not self._waiting[task]:
                del self._waiting[task]
                if not self._keep:
                    self._cancel(key, task)

    def cancel(self, unwanted: Callable[[Hashable], bool]) -> None:
        """Ends work by what it is for."""
        for key, task in list(self._tasks.items()):
            if unwanted(key):
                self._cancel(key, task)

    async def close(self) -> None:
        """Ends what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _cancel(self, key: Hashable, task: asyncio.Task[T]) -> None:
        """A task that is to end is found by nobody any more."""
        task.cancel()
        if self._tasks.get(key) is task:
            del self._tasks[key]

    def _landed(self, key: Hashable, task: asyncio.Task[T]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled():
            task.exception()  # nobody may be left to hear of it


async def _run(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
