"""Run tasks with the operator of another checkout, to compare versions of the controller.

World, engine and invariants are this checkout's; only the package `controller` comes from the other folder. A process
can hold one `controller` package, so each checkout gets a child process (`worktree_child.py`). The child stays for all
later tasks of the same checkout and ends when its parent closes the pipe or dies.
"""

import atexit
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, cast

from twin.experiments.execution.framing import receive, send
from twin.experiments.execution.task import Row, Task


class CheckoutError(Exception):
    """The operator of a checkout cannot be run by this twin; the message says why."""


def perform_in_checkout(task: Task) -> Row:
    """Run a task with the operator of `task.source`.

    Raises:
        CheckoutError: if that operator cannot be started or its process died.
    """
    answer = _child(task.source).request(task)
    if isinstance(answer, str):
        raise CheckoutError(answer)
    return cast("Row", answer)


def checkout_error(source: str) -> str:
    """Return why the operator in `source` cannot be run by this twin; empty if it can."""
    if not (Path(source) / "controller" / "__init__.py").is_file():
        return "contains no package `controller`"
    try:
        answer = _child(source).request(None)
    except CheckoutError as error:
        return str(error)
    return answer if isinstance(answer, str) else ""


class _Child:
    """A process that has imported another checkout's operator."""

    def __init__(self, source: str) -> None:
        self._source = source
        program = f"from twin.experiments.execution.worktree_child import serve; serve({source!r})"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", program],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def request(self, message: Any) -> Any:
        pipes = cast("tuple[BinaryIO, BinaryIO]", (self._process.stdin, self._process.stdout))
        try:
            send(pipes[0], message)
            return receive(pipes[1])
        except (OSError, EOFError):
            _child.cache_clear()
            self._process.wait()
            raise CheckoutError(f"the operator process of {self._source} exited") from None

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@cache
def _child(source: str) -> _Child:
    child = _Child(source)
    atexit.register(child.close)
    return child
