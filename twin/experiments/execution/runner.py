"""Run tasks with an executor, store their rows, and report progress."""

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
"""Called with every row as soon as it is stored."""


def run_all(tasks: Iterable[Task], execute: Executor, store: ResultStore, on_row: RowCallback | None = None) -> int:
    """Run tasks, store their rows, and return how many were run.

    Raises:
        KeyboardInterrupt: on Ctrl-C; finished runs are stored.
        StoreError: if the disk refuses.
    """
    done = 0
    try:
        for row in execute(tasks):
            store.add(row)
            done += 1
            if on_row is not None:
                on_row(row)
    except Interrupted:
        raise KeyboardInterrupt from None
    return done


@contextmanager
def progress_bar(description: str, total: int, *, quiet: bool) -> Iterator[RowCallback | None]:
    """Show a progress bar with an estimate of the time left, if stderr is a terminal."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal or not total:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[status]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(description, total=total, status=f"0 of {total:,}")
        estimator = ProgressEstimator(total)
        crashed = 0

        def on_row(row: Row) -> None:
            nonlocal crashed
            crashed += bool(row.error)
            estimator.step(progress.get_time())
            status = f"{estimator.done:,} of {total:,}{estimator.time_left()}"
            progress.update(
                task, completed=estimator.done, status=status + (f" · {crashed:,} crashed" if crashed else "")
            )

        yield on_row


class ProgressEstimator:
    """Estimates the time left as a range, from the durations of the last runs.

    Runs of one design can differ tenfold, and the remaining ones need not be like the finished ones. So the range is
    from the fastest to the slowest rate among the last intervals, and there is no estimate before there are a few.
    """

    INTERVALS = 8

    def __init__(self, total: int) -> None:
        self.done = 0
        self._total = total
        self._marks: deque[tuple[int, float]] = deque(maxlen=self.INTERVALS + 1)

    def step(self, now: float) -> None:
        """Count one more finished run."""
        self.done += 1
        if not self._marks or self.done - self._marks[-1][0] >= max(self._total // 50, 2):
            self._marks.append((self.done, now))

    def time_left(self) -> str:
        """Return text such as " · 3 to 5 min left"; empty while it is too early to estimate."""
        marks = list(self._marks)
        if len(marks) < 3:
            return ""
        seconds_per_run = [(t - u) / (n - m) for (m, u), (n, t) in itertools.pairwise(marks)]
        runs_left = self._total - self.done
        return f" · {_format_range(min(seconds_per_run) * runs_left, max(seconds_per_run) * runs_left)} left"


def _format_range(low: float, high: float) -> str:
    unit, seconds = ("min", 60) if high > 90 else ("s", 1)
    start, end = round(low / seconds), round(high / seconds)
    return f"{end} {unit}" if start == end else f"{start} to {end} {unit}"


def default_jobs() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
