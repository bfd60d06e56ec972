"""Work that goes on if who asked for it stops waiting: a load that a client gives up still ends, as a real one does."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class BackgroundTasks:
    """What one engine does in tasks of its own."""

    def __init__(self) -> None:
        self._answers: dict[asyncio.Task[None], asyncio.Future[None]] = {}

    async def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` to its end, and wait for that; a caller who is cancelled takes nothing with him."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[None] = loop.create_future()
        task = loop.create_task(work)
        self._answers[task] = answer
        task.add_done_callback(self._finish)
        await answer

    def end(self, error: Callable[[], Exception]) -> None:
        """End all of it at once: whoever waits gets an error of his own."""
        for task, answer in list(self._answers.items()):
            task.cancel()
            if not answer.done():
                _fail(answer, error())

    def _finish(self, task: asyncio.Task[None]) -> None:
        answer = self._answers.pop(task)
        if task.cancelled():
            if not answer.done():
                answer.cancel()
            return
        error = task.exception()
        if answer.done():
            return
        if error is None:
            answer.set_result(None)
        else:
            _fail(answer, error)


def _fail(answer: asyncio.Future[None], error: BaseException) -> None:
    answer.set_exception(error)
    answer.exception()  # marks it as seen: a caller cancelled in this very moment will not look
