"""Child processes by fork: each has the modules of its parent, and a mistake in it stays there; not a test."""

import json
import os
import resource
import selectors
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, TypeVar

Job = TypeVar("Job")
Tell = Callable[[Any], None]
"""Sends a value to the parent process."""

_MEMORY = 3 << 30
_PATIENCE = 60.0
"""Seconds of real time that a step may take beyond its limit of CPU time: the machine may be busy."""
_SIGNALS = {signal.SIGVTALRM: "it never ends", signal.SIGALRM: "it waits for ever"}


@dataclass(slots=True)
class Ending(Generic[Job]):
    """Messages of a child, and its end."""

    job: Job
    told: list[Any] = field(default_factory=list)
    death: str = ""
    """Words for an early end of the process; empty if it came to its end."""
    cpu: float = 0.0
    """Seconds."""


@dataclass(slots=True)
class _Child(Generic[Job]):
    pid: int
    ending: Ending[Job]
    unread: bytes = b""


def limit_step(seconds: float) -> None:
    """End this process if it is still in the same step after `seconds` of CPU time."""
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE + 10 * seconds)


def run_all(jobs: Iterable[Job], work: Callable[[Job, Tell], None], at_a_time: int) -> Iterator[Ending[Job]]:
    """Run `work` for each job in a process of its own; yield the endings as they come.

    A job is taken from `jobs` when there is room for it.
    """
    waiting = iter(jobs)
    with selectors.DefaultSelector() as selector:
        for job in islice(waiting, at_a_time):
            _start(selector, job, work)
        while selector.get_map():
            for key, _ in selector.select():
                child: _Child[Job] = key.data
                if data := os.read(key.fd, 1 << 16):
                    *lines, child.unread = (child.unread + data).split(b"\n")
                    child.ending.told += [json.loads(line) for line in lines]
                    continue
                selector.unregister(key.fd)
                os.close(key.fd)
                _bury(child)
                yield child.ending
                for job in islice(waiting, 1):
                    _start(selector, job, work)


def _start(selector: selectors.BaseSelector, job: Job, work: Callable[[Job, Tell], None]) -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _be_a_child(writing, job, work)
    os.close(writing)
    selector.register(reading, selectors.EVENT_READ, _Child(pid, Ending(job)))


def _be_a_child(writing: int, job: Job, work: Callable[[Job, Tell], None]) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))

    def tell(value: Any) -> None:
        data = memoryview(json.dumps(value).encode() + b"\n")
        while data:
            data = data[os.write(writing, data) :]

    status = 1
    try:
        work(job, tell)
        status = 0
    finally:
        os._exit(status)


def _bury(child: _Child[Job]) -> None:
    _, status, usage = os.wait4(child.pid, 0)
    child.ending.cpu = usage.ru_utime + usage.ru_stime
    if os.WIFSIGNALED(status):
        killer = os.WTERMSIG(status)
        child.ending.death = _SIGNALS.get(signal.Signals(killer), f"its process died of signal {killer}")
    elif status:
        child.ending.death = "its process died"


def cpu_seconds(endings: Sequence[Ending[Any]]) -> float:
    """Return the CPU time of these processes, in seconds."""
    return sum(ending.cpu for ending in endings)
