"""Where runs are done: in this process, on several here (joblib), on a Dask cluster, on Ray.

An executor takes tasks and gives rows, in whatever order they come. It holds no more than a few tasks for each worker
at a time, so a design of a million runs takes no more memory than one of ten. A worker that dies takes no run with it:
its tasks are done again, and only one that kills its worker again and again becomes a row with that as its error.
"""

import itertools
import logging
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal
from urllib.parse import urlsplit

from twin.experiments.execution.task import Row, Task
from twin.experiments.execution.trial import failed_row, perform, perform_ignoring_sigint
from twin.runs.folder import FolderError

Engine = Literal["joblib", "dask", "ray"]
Executor = Callable[[Iterable[Task]], Iterator[Row]]
"""Does tasks; gives each one's row as soon as it is there."""

AT_ONCE = 3
"""Tasks given out for each worker: one under way, the others so that none waits for its next."""
DEATHS = 3
"""A task whose worker died so often is not tried again."""
LOOK_SECONDS = 2
"""How often to look whether the cluster is still there."""
CONNECT_SECONDS = 10
"""How long to wait for a cluster to answer."""


class ExecutorError(Exception):
    """Tasks cannot be done there; the message says why and what to do."""


@contextmanager
def executor(engine: Engine, jobs: int, address: str = "") -> Iterator[Executor]:
    """An engine, ready for work; it is closed in the end, a cluster that stood there before is left standing.

    Raises:
        ExecutorError: if it is not installed, or nothing answers at `address`.
    """
    match engine:
        case "joblib" if address:
            raise ExecutorError("--address: joblib works on this machine only; allowed: --engine dask or --engine ray")
        case "joblib":
            yield _here if jobs == 1 else lambda tasks: _processes(tasks, jobs)
        case "dask":
            with _dask(jobs, address) as execute:
                yield execute
        case "ray":
            with _ray(jobs, address) as execute:
                yield execute


def missing(package: str, extra: str) -> ExecutorError:
    """What to say where an optional package is not there."""
    return ExecutorError(f"this needs {package}, which is not installed: pip install 'lora-twin[{extra}]'")


def _here(tasks: Iterable[Task]) -> Iterator[Row]:
    return map(perform, tasks)


def _processes(tasks: Iterable[Task], jobs: int) -> Iterator[Row]:
    """joblib's worker processes. When one dies, joblib gives up all that was under way; here that is done again."""
    given: dict[str, Task] = {}
    source = iter(tasks)

    def noted(tasks: Iterable[Task]) -> Iterator[Task]:
        for task in tasks:
            given[task.key] = task
            yield task

    while True:
        try:
            for row in _parallel(noted(source), jobs):
                del given[row.key]
                yield row
            return
        except _worker_death_errors():
            suspects = list(given.values())
            for task in suspects:
                del given[task.key]
                yield _alone(task)


def _alone(task: Task) -> Row:
    """A task that was under way when a process died, in one where nothing else is."""
    for _ in range(DEATHS - 1):
        try:
            return next(_parallel([task], 2))
        except _worker_death_errors():
            continue
    return failed_row(task, f"its process died {DEATHS} times (killed, or out of memory)")


def _parallel(tasks: Iterable[Task], jobs: int) -> Iterator[Row]:
    try:
        from joblib import Parallel, delayed
    except ImportError:
        raise missing("joblib", "lab") from None
    pool = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch=AT_ONCE * jobs)
    rows: Iterator[Row] = pool(delayed(perform_ignoring_sigint)(task) for task in tasks)
    return rows


def _worker_death_errors() -> tuple[type[Exception], ...]:
    from joblib.externals.loky.process_executor import BrokenProcessPool, TerminatedWorkerError

    return (TerminatedWorkerError, BrokenProcessPool)


@contextmanager
def _dask(jobs: int, address: str) -> Iterator[Executor]:
    try:
        from distributed import Client, LocalCluster  # configures its logging when it is imported
    except ImportError:
        raise missing("dask", "dask") from None
    for name in ("distributed", "distributed.client"):  # what matters of it is said by our own errors
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    if not address:
        local = LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=None)
        with local, Client(local) as client:
            yield lambda tasks: _on_dask(client, tasks)
        return
    _probe(address)
    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise ExecutorError(f"--address {address}: no Dask scheduler answers there ({_first_line(error)})") from None
    with client:
        yield lambda tasks: _on_dask(client, tasks)


def _on_dask(client: Any, tasks: Iterable[Task]) -> Iterator[Row]:
    """Keeps every worker busy; rescheduling after a worker's death is Dask's own.

    Raises:
        ExecutorError: if the scheduler is lost.
    """
    room = AT_ONCE * max(len(client.scheduler_info()["workers"]), 1)
    source, under_way = iter(tasks), dict[Any, Task]()

    def submit(count: int) -> None:
        for task in itertools.islice(source, count):
            under_way[client.submit(perform, task, key=f"run-{task.key}", pure=False)] = task

    with _until_the_scheduler_is_lost():
        submit(room)
        while under_way:
            for future in _ended(client, list(under_way)):
                task = under_way.pop(future)
                error = None if future.status == "finished" else future.exception()
                if isinstance(error, FolderError):
                    raise error
                yield failed_row(task, f"its worker was lost: {_first_line(error)}") if error else future.result()
                future.release()
                submit(1)


@contextmanager
def _until_the_scheduler_is_lost() -> Iterator[None]:
    """Whatever Dask's client was at when its scheduler went, and says of it, is one error."""
    from concurrent.futures import CancelledError

    from distributed.comm import CommClosedError

    try:
        yield
    except (CancelledError, CommClosedError):
        raise ExecutorError("the Dask scheduler is lost") from None


def _ended(client: Any, futures: list[Any]) -> list[Any]:
    """Some that are done, in the order in which they were given out."""
    from concurrent.futures import CancelledError

    from distributed import wait

    while True:
        try:
            done = wait(futures, timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            done = set()
        if client.status in ("closing", "closed") or any(future.cancelled() for future in done):
            raise CancelledError
        if done:
            return [future for future in futures if future in done]


@contextmanager
def _ray(jobs: int, address: str) -> Iterator[Executor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import ray
        except ImportError:
            raise missing("ray", "ray") from None
        if address:
            _ask_ray(address)
        quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
        try:
            if address:
                ray.init(address=address, **quiet)
            else:
                ray.init(num_cpus=jobs, include_dashboard=False, **quiet)
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            raise ExecutorError(f"--address {address}: no Ray cluster answers there ({_first_line(error)})") from None
        try:
            yield lambda tasks: _on_ray(ray, address, tasks)
        finally:
            ray.shutdown()


def _ask_ray(address: str) -> None:
    """Whether a Ray cluster takes us: Ray itself asks for minutes, so a process asks that can be ended before."""
    _probe(address)
    program = f"import ray; ray.init(address={address!r}, logging_level='ERROR')"
    asked = [sys.executable, "-W", "ignore", "-c", program]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=2 * CONNECT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ExecutorError(
            f"--address {address}: no Ray cluster there takes us within {2 * CONNECT_SECONDS} s"
        ) from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it says nothing"])[-1][:200]
        raise ExecutorError(f"--address {address}: no Ray cluster answers there ({reason})")


def _still_there(head: str) -> None:
    """Ray waits a minute for a head that is lost, and then ends this very process; so we look first."""
    try:
        _probe(head)
    except ExecutorError:
        raise ExecutorError("the Ray cluster is lost") from None


def _on_ray(ray: Any, address: str, tasks: Iterable[Task]) -> Iterator[Row]:
    remote = ray.remote(num_cpus=1, max_retries=DEATHS - 1)(perform)
    room = AT_ONCE * max(int(ray.cluster_resources().get("CPU", 1)), 1)
    source, under_way = iter(tasks), dict[Any, Task]()
    # Through Ray's client the head's own address may be one that only the cluster can reach.
    head = address if "://" in address else str(ray.get_runtime_context().gcs_address)

    def submit(count: int) -> None:
        for task in itertools.islice(source, count):
            under_way[remote.remote(task)] = task

    submit(room)
    while under_way:
        done, _ = ray.wait(list(under_way), num_returns=1, timeout=LOOK_SECONDS)
        if not done:
            _still_there(head)
            continue
        (ready,) = done
        task = under_way.pop(ready)
        try:
            yield ray.get(ready)
        except FolderError:  # Ray raises what is its own error and this one
            raise
        except ray.exceptions.RayError as error:
            yield failed_row(task, f"its worker was lost: {_first_line(error)}")
        submit(1)


def _probe(address: str) -> None:
    """Whether anything listens there: Ray asks for minutes before it gives up, and Dask gives no reason."""
    place = urlsplit(address if "://" in address else f"//{address}")
    try:
        if place.hostname and place.port:
            socket.create_connection((place.hostname, place.port), CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise ExecutorError(f"--address {address}: nothing answers there ({_first_line(error)})") from None


def _first_line(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
