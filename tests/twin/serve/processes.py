"""Commands that run beside a served world; not a test."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def a_process(log: Path, *words: str, ready: str) -> Iterator[str]:
    """Run a Python module until the end of the block; yield its output once that contains `ready`."""
    with log.open("w") as sink:
        command = [sys.executable, *words]
        process = subprocess.Popen(command, stdout=sink, stderr=sink, env={**os.environ, "PYTHONUNBUFFERED": "1"})
    try:
        yield until(lambda: ready in log.read_text() and log.read_text(), f"{words} said {ready!r}", log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def until(holds: Callable[[], str | bool], what: str, log: Path | None = None) -> str:
    """Return the result of `holds` as soon as it is true."""
    pause = threading.Event()
    for _ in range(300):
        if found := holds():
            return str(found)
        pause.wait(0.1)
    raise AssertionError(f"it never came true that {what}: {log.read_text() if log else ''}")
