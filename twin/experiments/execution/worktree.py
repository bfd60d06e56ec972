"""The operator of another checkout, each in a process of its own: versions of the controller compared.

World, engine and oracles stay those of this checkout; the package `controller` alone comes from the other folder. Since
a process can hold one `controller` only, and modules import it as they are loaded, a child is started whose first
act is to adopt the other one. It stays for all later tasks of the same checkout, and ends when its parent closes the
pipe or dies.

This module imports nothing of ours at its top, on purpose.
"""

import atexit
import importlib.util
import pickle
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import msgspec

if TYPE_CHECKING:
    from twin.experiments.execution.trial import Row, Task

_LENGTH = 8  # bytes before each message that say how long it is


class CheckoutError(Exception):
    """A folder holds no operator that could be run here; the message says why."""


def perform_elsewhere(task: "Task") -> "Row":
    """Runs a task with the operator of `task.source`.

    Raises:
        CheckoutError: if that operator cannot be started or its process died.
    """
    answer = _child(task.source).ask(task)
    if isinstance(answer, str):
        raise CheckoutError(answer)
    return cast("Row", answer)


def check(source: str) -> str:
    """Why the operator in `source` cannot be run by this twin; empty if it can."""
    if not (Path(source) / "controller" / "__init__.py").is_file():
        return "holds no package `controller`"
    try:
        answer = _child(source).ask(None)
    except CheckoutError as error:
        return str(error)
    return answer if isinstance(answer, str) else ""


class _Child:
    """A process with another checkout's operator in it."""

    def __init__(self, source: str) -> None:
        self._source = source
        program = f"from twin.experiments.checkout import serve; serve({source!r})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def ask(self, message: Any) -> Any:
        pipes = cast("tuple[BinaryIO, BinaryIO]", (self._process.stdin, self._process.stdout))
        try:
            _send(pipes[0], message)
            return _receive(pipes[1])
        except (OSError, EOFError):
            _child.cache_clear()
            self._process.wait()
            raise CheckoutError(f"the operator of {self._source} ended its process") from None

    def end(self) -> None:
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
    atexit.register(child.end)
    return child


def serve(source: str) -> None:
    """What the child does: adopts, then answers until there is nobody to ask."""
    pipe, sys.stdout = sys.stdout.buffer, sys.stderr
    broken = ""
    try:
        adopt(source)
        from twin.experiments.execution import trial
    except Exception as error:
        broken = " ".join(f"cannot be run by this twin: {type(error).__name__}: {error}".split())
    while True:
        try:
            task = _receive(sys.stdin.buffer)
        except EOFError:
            return
        _send(pipe, broken or (None if task is None else trial.perform(msgspec.structs.replace(task, source=""))))


def adopt(source: str) -> None:
    """Makes `import controller` mean the package in `source`, from now on and for all that is imported later."""
    if "controller" in sys.modules:
        raise CheckoutError("another operator has been imported already")
    package = Path(source) / "controller"
    spec = importlib.util.spec_from_file_location(
        "controller", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    if spec is None or spec.loader is None:
        raise CheckoutError(f"{package} is no package")
    module = importlib.util.module_from_spec(spec)
    sys.modules["controller"] = module
    spec.loader.exec_module(module)


def _send(pipe: BinaryIO, message: Any) -> None:
    data = pickle.dumps(message)
    pipe.write(len(data).to_bytes(_LENGTH, "big") + data)
    pipe.flush()


def _receive(pipe: BinaryIO) -> Any:
    """The next message. When the pipe has ended, or ends within a message, EOFError."""
    length = pipe.read(_LENGTH)
    data = pipe.read(int.from_bytes(length, "big")) if len(length) == _LENGTH else b""
    if not data:
        raise EOFError
    return pickle.loads(data)
