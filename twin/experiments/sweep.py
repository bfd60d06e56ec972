"""`twin sweep`: run every variant with every seed into one table, without comparing.

Finished runs are not run again. If a sweep ends early, its file contains the finished runs and is marked as partial.
Seeds are the outer loop and variants the inner one, so that part of a sweep still compares equal seeds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from twin.experiments.comparison import ProgressFactory
from twin.experiments.design import Design
from twin.experiments.execution.errors import ExecutorError
from twin.experiments.execution.executors import Executor
from twin.experiments.execution.results import ResultStore
from twin.experiments.execution.runner import run_all
from twin.experiments.execution.task import Task


@dataclass(frozen=True, slots=True)
class SweepResult:
    """Counts of a finished sweep."""

    runs: int
    fresh: int
    """Runs done by this call; the others were stored already."""
    crashed: int
    broken: int
    """Runs in which an invariant or an expectation failed."""
    first: str
    """The first run that crashed or failed, and why."""


def sweep(design: Design, execute: Executor, store: ResultStore, progress: ProgressFactory) -> SweepResult:
    """Run what is not stored yet and write the Parquet file.

    Raises:
        KeyboardInterrupt: on Ctrl-C; the file contains the finished runs.
        ExecutorError: if the cluster is lost; the file contains the finished runs.
        StoreError: if the disk refuses.
    """
    keys = design.keys()
    missing = sum(key not in store for key in keys)
    try:
        with progress(missing) as on_row:
            run_all(_missing_tasks(design, store), execute, store, on_row)
    except (KeyboardInterrupt, ExecutorError):
        store.write(keys, design.paths, scenario=design.baseline.scenario.name)
        raise
    store.write(keys, design.paths, scenario=design.baseline.scenario.name)
    return _summarize(keys, missing, store)


def _missing_tasks(design: Design, store: ResultStore) -> Iterator[Task]:
    for seed in design.seeds:
        for variant in design.variants:
            if design.key(variant, seed) not in store:
                yield design.task(variant, seed)


def _summarize(keys: Sequence[str], fresh: int, store: ResultStore) -> SweepResult:
    crashed = broken = 0
    first = ""
    for row in store.rows(keys):
        crashed += bool(row.error)
        broken += row.passed is False
        if not first and not row.passed:
            first = f"{row.variant}, seed {row.seed}: {row.error or row.violation or 'an expectation failed'}"
    return SweepResult(len(keys), fresh, crashed, broken, first)
