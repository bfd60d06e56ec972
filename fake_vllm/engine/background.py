"""Tasks that continue after their caller stops waiting: a load that a client abandons still completes."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class BackgroundTasks:
    """Tasks of one engine."""

    def __init__(self) -> None:
        self._results: dict[asyncio.Task[None], asyncio.Future[None]] = {}

    async def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in a task of its own and wait for it; cancelling the caller does not cancel the work."""
        await self._results[self.start(work)]

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` in a task of its own, and return that."""
        loop = asyncio.get_running_loop()
        task = loop.create_task(work)
        self._results[task] = loop.create_future()
        task.add_done_callback(self._on_done)
        return task

    def cancel_all(self, error: Callable[[], Exception]) -> None:
        """Cancel all tasks; every waiting caller gets a new `error`."""
        for task, result in list(self._results.items()):
            task.cancel()
            if not result.done():
                _fail(result, error())

    def _on_done(self, task: asyncio.Task[None]) -> None:
        result = self._results.pop(task)
        if task.cancelled():
            if not result.done():
                result.cancel()
            return
        error = task.exception()
        if result.done():
            return
        if error is None:
            result.set_result(None)
        else:
            _fail(result, error)


def _fail(result: asyncio.Future[None], error: BaseException) -> None:
    result.set_exception(error)
    result.exception()  # marks it as retrieved: the caller may have been cancelled at the same time
