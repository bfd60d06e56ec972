"""Executors: run tasks in this process, in several processes here (joblib), on a Dask cluster, or on Ray.

An executor takes tasks and yields rows in the order in which they finish. It has no more than a few tasks submitted for
each worker, so a design of a million runs needs no more memory than one of ten. If a worker dies, its tasks are run
again; only a task that kills its worker repeatedly becomes a row with that as its error.

`processes.py` has the processes of this machine. joblib's own Dask and Ray backends are not used: Ray's cannot yield
results as they finish, and with Dask's a task that kills its worker makes the whole call hang instead of failing.
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

from twin.experiments.execution.errors import ExecutorError, missing_package
from twin.experiments.execution.processes import MAX_WORKER_DEATHS, TASKS_PER_WORKER, in_processes
from twin.experiments.execution.task import Row, Task
from twin.experiments.execution.trial import failed_row, perform
from twin.runs.folder import FolderError

ExecutorName = Literal["joblib", "dask", "ray"]
Executor = Callable[[Iterable[Task]], Iterator[Row]]
"""Runs tasks; yields the row of each as soon as it has finished."""

POLL_SECONDS = 2
"""Interval of the checks that the cluster still exists."""
CONNECT_SECONDS = 10
"""Timeout for the first answer of a cluster."""


@contextmanager
def open_executor(name: ExecutorName, jobs: int, address: str = "") -> Iterator[Executor]:
    """Open an executor with `jobs` workers, or on the cluster at `address`, which is left running at the end.

    Raises:
        ExecutorError: if its package is not installed, or nothing answers at `address`.
    """
    match name:
        case "joblib" if address:
            raise ExecutorError(
                "--address: joblib runs on this machine only; allowed: --executor dask or --executor ray"
            )
        case "joblib":
            yield _in_this_process if jobs == 1 else lambda tasks: in_processes(tasks, jobs)
        case "dask":
            with _dask(jobs, address) as execute:
                yield execute
        case "ray":
            with _ray(jobs, address) as execute:
                yield execute


def _in_this_process(tasks: Iterable[Task]) -> Iterator[Row]:
    return map(perform, tasks)


@contextmanager
def _dask(jobs: int, address: str) -> Iterator[Executor]:
    try:
        from distributed import Client, LocalCluster  # configures its logging when imported
    except ImportError:
        raise missing_package("dask", "dask") from None
    for name in ("distributed", "distributed.client"):  # what matters is in our own errors
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
        raise ExecutorError(f"--address {address}: no Dask scheduler answers ({_first_line(error)})") from None
    with client:
        yield lambda tasks: _on_dask(client, tasks)


def _on_dask(client: Any, tasks: Iterable[Task]) -> Iterator[Row]:
    """Run tasks on a Dask cluster, which itself reschedules the tasks of a worker that died.

    Raises:
        ExecutorError: if the scheduler is lost.
    """
    limit = TASKS_PER_WORKER * max(len(client.scheduler_info()["workers"]), 1)
    source, running = iter(tasks), dict[Any, Task]()

    def submit(count: int) -> None:
        for task in itertools.islice(source, count):
            running[client.submit(perform, task, key=f"run-{task.key}", pure=False)] = task

    with _scheduler_loss_as_error():
        submit(limit)
        while running:
            for future in _finished(client, list(running)):
                task = running.pop(future)
                error = None if future.status == "finished" else future.exception()
                if isinstance(error, FolderError):
                    raise error
                yield failed_row(task, f"its worker was lost: {_first_line(error)}") if error else future.result()
                future.release()
                submit(1)


@contextmanager
def _scheduler_loss_as_error() -> Iterator[None]:
    """Map every error that Dask's client raises when its scheduler is lost to one `ExecutorError`."""
    from concurrent.futures import CancelledError

    from distributed.comm import CommClosedError

    try:
        yield
    except (CancelledError, CommClosedError):
        raise ExecutorError("the Dask scheduler is lost") from None


def _finished(client: Any, futures: list[Any]) -> list[Any]:
    """Wait for at least one future; return the finished ones in the order of submission."""
    from concurrent.futures import CancelledError

    from distributed import wait

    while True:
        try:
            done = wait(futures, timeout=POLL_SECONDS, return_when="FIRST_COMPLETED").done
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
            raise missing_package("ray", "ray") from None
        if address:
            _check_ray(address)
        quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
        try:
            if address:
                ray.init(address=address, **quiet)
            else:
                ray.init(num_cpus=jobs, include_dashboard=False, **quiet)
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            raise ExecutorError(f"--address {address}: no Ray cluster answers ({_first_line(error)})") from None
        try:
            yield lambda tasks: _on_ray(ray, address, tasks)
        finally:
            ray.shutdown()


def _check_ray(address: str) -> None:
    """Connect to a Ray cluster from a child process, since Ray itself retries for minutes before it fails.

    Raises:
        ExecutorError: if the cluster does not accept the connection in time.
    """
    _probe(address)
    program = f"import ray; ray.init(address={address!r}, logging_level='ERROR')"
    command = [sys.executable, "-W", "ignore", "-c", program]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=2 * CONNECT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ExecutorError(
            f"--address {address}: no Ray cluster accepts a connection within {2 * CONNECT_SECONDS} s"
        ) from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1][:200]
        raise ExecutorError(f"--address {address}: no Ray cluster answers ({reason})")


def _check_ray_head(head: str) -> None:
    """Check that the head of the cluster answers: Ray waits a minute for a lost head and then exits this process."""
    try:
        _probe(head)
    except ExecutorError:
        raise ExecutorError("the Ray cluster is lost") from None


def _on_ray(ray: Any, address: str, tasks: Iterable[Task]) -> Iterator[Row]:
    remote = ray.remote(num_cpus=1, max_retries=MAX_WORKER_DEATHS - 1)(perform)
    limit = TASKS_PER_WORKER * max(int(ray.cluster_resources().get("CPU", 1)), 1)
    source, running = iter(tasks), dict[Any, Task]()
    # Through Ray's client the head's own address may be reachable from within the cluster only.
    head = address if "://" in address else str(ray.get_runtime_context().gcs_address)

    def submit(count: int) -> None:
        for task in itertools.islice(source, count):
            running[remote.remote(task)] = task

    submit(limit)
    while running:
        done, _ = ray.wait(list(running), num_returns=1, timeout=POLL_SECONDS)
        if not done:
            _check_ray_head(head)
            continue
        (ready,) = done
        task = running.pop(ready)
        try:
            yield ray.get(ready)
        except FolderError:  # Ray raises an error that is both its own and this one
            raise
        except ray.exceptions.RayError as error:
            yield failed_row(task, f"its worker was lost: {_first_line(error)}")
        submit(1)


def _probe(address: str) -> None:
    """Check that a port is open: Ray retries for minutes before it fails, and Dask gives no reason.

    Raises:
        ExecutorError: if it is not.
    """
    url = urlsplit(address if "://" in address else f"//{address}")
    try:
        if url.hostname and url.port:
            socket.create_connection((url.hostname, url.port), CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise ExecutorError(f"--address {address}: no answer ({_first_line(error)})") from None


def _first_line(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
