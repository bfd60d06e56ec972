"""Imports a server once and forks it for each start: importing vLLM takes ten seconds of CPU, three times a start.

python fork_server.py PROGRAM MODULE [MODULE]…

The first module's `main` is the server. A request is a line of JSON on standard input with `args`, `environment` and
`log`; the answer is the process id. When a server ends, `{"pid": …, "exit": …}` is printed. Run by the Python of the
server's own installation, so only the standard library is used here.
"""

import gc
import importlib
import json
import multiprocessing
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import Any

_REAP_SECONDS = 0.05
_ANSWERS = os.dup(1)
"""Where answers go; what an import prints goes to standard error."""


def main() -> None:
    program, *modules = sys.argv[1:]
    os.dup2(2, 1)
    server: Callable[[], Any] = importlib.import_module(modules[0]).main
    for name in modules[1:]:
        _import(name)
    _check_instructions()
    _fork_workers()
    gc.freeze()  # a collection in a child would copy the pages of everything that is imported
    _answer(None)
    if (request := _serve()) is not None:
        _become(program, request)
        sys.exit(server())


def _serve() -> dict[str, Any] | None:
    """Fork for each request; return the request in the child, None when standard input ends."""
    while True:
        if select.select([0], [], [], _REAP_SECONDS)[0]:
            if not (line := _read_line()):
                return None
            pid = os.fork()
            if pid == 0:
                return dict(json.loads(line))
            _answer(pid)
        _reap()


def _reap() -> None:
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return
    if pid:
        _answer({"pid": pid, "exit": os.waitstatus_to_exitcode(status)})


def _become(program: str, request: dict[str, Any]) -> None:
    os.setsid()
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number, source in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(source, number)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = [program, *request["args"]]


def _fork_workers() -> None:
    """Let the server's own processes be forked as well where it would spawn them, and import them from nothing."""
    get_context = multiprocessing.get_context
    multiprocessing.get_context = lambda method=None: get_context("fork" if method == "spawn" else method)  # type: ignore[assignment, arg-type]
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
    registry = sys.modules.get("vllm.model_executor.models.registry")
    if hasattr(registry, "_run_in_subprocess"):
        registry._run_in_subprocess = lambda function: function()  # type: ignore[union-attr]


def _import(name: str) -> None:
    try:
        importlib.import_module(name)
    except ImportError:
        print(f"{name} is not in this release", file=sys.stderr)


def _check_instructions() -> None:
    """Let torch find out which vector instructions the CPU has: it imports itself three times for that, at each start.

    It keeps the result, so the forked servers have it.
    """
    if "torch" in sys.modules:
        importlib.import_module("torch._inductor.cpu_vec_isa").valid_vec_isa_list()


def _read_line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        if not (byte := os.read(0, 1)):
            return b""
        line += byte
    return line


def _answer(value: object) -> None:
    os.write(_ANSWERS, f"{json.dumps(value)}\n".encode())


if __name__ == "__main__":
    main()
