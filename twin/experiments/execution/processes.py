"""Tasks in several processes of this machine, with joblib. Start reading at `in_processes`."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

from twin.experiments.execution.errors import missing_package
from twin.experiments.execution.task import Row, Task
from twin.experiments.execution.trial import failed_row, perform

TASKS_PER_WORKER = 3
"""Tasks submitted for each worker: one running, the others queued so that the worker is never idle."""
MAX_WORKER_DEATHS = 3
"""A task whose worker died this many times is not run again."""
_WARNINGS = "PYTHONWARNINGS"
_WORKER_START = "twin.experiments.execution.worker_start"


def in_processes(tasks: Iterable[Task], jobs: int) -> Iterator[Row]:
    """Run tasks in joblib's worker processes.

    joblib discards all running tasks when a process dies; they are run again here.
    """
    running: dict[str, Task] = {}
    source = iter(tasks)

    def registered(tasks: Iterable[Task]) -> Iterator[Task]:
        for task in tasks:
            running[task.key] = task
            yield task

    while True:
        try:
            for row in _parallel(registered(source), jobs):
                del running[row.key]
                yield row
            return
        except _worker_death_errors():
            suspects = list(running.values())
            for task in suspects:
                del running[task.key]
                yield _isolated(task)


def _isolated(task: Task) -> Row:
    """Run a task that was running when a process died, in a process where nothing else runs."""
    for _ in range(MAX_WORKER_DEATHS - 1):
        try:
            return next(_parallel([task], 2))
        except _worker_death_errors():
            continue
    return failed_row(task, f"its process died {MAX_WORKER_DEATHS} times (killed, or out of memory)")


def _parallel(tasks: Iterable[Task], jobs: int) -> Iterator[Row]:
    try:
        from joblib import Parallel, delayed
    except ImportError:
        raise missing_package("joblib", "lab") from None
    pool = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch=TASKS_PER_WORKER * jobs)
    _share_imports()
    _start_quiet_tracker()
    with _pool_shutdown_without_traceback():
        with _sigint_blocked():  # the processes are started here
            rows: Iterator[Row] = pool(delayed(perform)(task) for task in tasks)
        yield from rows


def _share_imports() -> None:
    """Fork workers from a process that has imported everything; each would need a second to import it by itself.

    That process has no threads and runs no task, so its forks are like new processes.
    """
    from joblib.externals.loky.backend.context import set_start_method

    if "forkserver" in multiprocessing.get_all_start_methods():
        set_start_method("forkserver", force=True)
        multiprocessing.set_forkserver_preload([_WORKER_START, perform.__module__])


def _start_quiet_tracker() -> None:
    """Start joblib's resource tracker: after Ctrl-C it removes what killed processes have left, and warns about it."""
    from joblib.externals.loky.backend import resource_tracker as tracker

    previous = os.environ.get(_WARNINGS)
    os.environ[_WARNINGS] = ",".join(filter(None, [previous, "ignore:resource_tracker:UserWarning"]))
    try:
        tracker.ensure_running()
    finally:
        if previous is None:
            del os.environ[_WARNINGS]
        else:
            os.environ[_WARNINGS] = previous


@contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Block SIGINT in this thread, and for good in the processes and threads that it starts meanwhile.

    Ctrl-C reaches the whole process group. A worker that receives it while it imports its modules would print a
    traceback; only this process decides what to do. A signal that arrives here meanwhile is delivered at the end.
    """
    resource_tracker.ensure_running()  # once, before: it unblocks SIGINT when it starts its process
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


@contextmanager
def _pool_shutdown_without_traceback() -> Iterator[None]:
    """Print no traceback of the thread that manages joblib's processes if it fails during their shutdown.

    When Ctrl-C arrives while a task is being submitted, that thread discards the task and then looks it up, which is a
    KeyError. The processes have been killed by then, and joblib waits for the end of the thread.
    """
    previous = threading.excepthook

    def print_unless_shut_down(args: threading.ExceptHookArgs) -> None:
        flags = getattr(args.thread, "executor_flags", None)
        if not getattr(flags, "shutdown", False):
            previous(args)

    threading.excepthook = print_unless_shut_down
    try:
        yield
    finally:
        threading.excepthook = previous


def _worker_death_errors() -> tuple[type[Exception], ...]:
    from joblib.externals.loky.process_executor import BrokenProcessPool, TerminatedWorkerError

    return (TerminatedWorkerError, BrokenProcessPool)
