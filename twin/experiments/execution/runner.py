"""Tasks done, rows kept, and somebody who watches told how far it is."""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from twin.experiments.execution.executors import Executor
from twin.experiments.execution.results import ResultStore
from twin.experiments.execution.task import Interrupted, Row, Task

RowCallback = Callable[[Row], None]
"""ProgressCallback about every row as it comes."""


def run_all(tasks: Iterable[Task], execute: Executor, store: ResultStore, watch: RowCallback | None = None) -> int:
    """Does tasks and says how many; their rows are in the store when this returns, or raises.

    Raises:
        KeyboardInterrupt: on Ctrl-C; what was finished is kept.
        StoreError: if the disk refuses.
    """
    done = 0
    try:
        for row in execute(tasks):
            store.add(row)
            done += 1
            if watch is not None:
                watch(row)
    except Interrupted:
        raise KeyboardInterrupt from None
    return done


@contextmanager
def watching(what: str, total: int, *, quiet: bool) -> Iterator[RowCallback | None]:
    """A bar with an estimate on a terminal; nothing when nobody watches."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal or not total:
        yield None
        return
    words = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn())
    with Progress(*words, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total, said=f"0 of {total:,}")
        pace = ProgressEstimator(total)
        crashed = 0

        def watch(row: Row) -> None:
            nonlocal crashed
            crashed += bool(row.error)
            pace.step(progress.get_time())
            said = f"{pace.done:,} of {total:,}{pace.left()}" + (f" · {crashed:,} crashed" if crashed else "")
            progress.update(task, completed=pace.done, said=said)

        yield watch


class ProgressEstimator:
    """How long the rest will take, as a range, from how long the last runs took.

    Runs of one design may differ tenfold, and those that are still to come need not be like those that were: the range
    is from the fastest to the slowest pace among the last stretches, and nothing is said before there are some.
    """

    STRETCHES = 8

    def __init__(self, total: int) -> None:
        self.done = 0
        self._total = total
        self._marks: deque[tuple[int, float]] = deque(maxlen=self.STRETCHES + 1)

    def step(self, now: float) -> None:
        """One more is done."""
        self.done += 1
        if not self._marks or self.done - self._marks[-1][0] >= max(self._total // 50, 2):
            self._marks.append((self.done, now))

    def left(self) -> str:
        """Such as " · 3 to 5 min left"; empty while it is too early to tell."""
        marks = list(self._marks)
        if len(marks) < 3:
            return ""
        paces = [(t - u) / (n - m) for (m, u), (n, t) in itertools.pairwise(marks)]
        rest = self._total - self.done
        return f" · {_span(min(paces) * rest, max(paces) * rest)} left"


def _span(low: float, high: float) -> str:
    unit, seconds = ("min", 60) if high > 90 else ("s", 1)
    one, other = round(low / seconds), round(high / seconds)
    return f"{other} {unit}" if one == other else f"{one} to {other} {unit}"


def default_jobs() -> int:
    """As many processes as this machine has processors for us."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
