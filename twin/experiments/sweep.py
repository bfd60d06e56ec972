"""`twin sweep`: every variant with every seed, into one table, and nothing judged.

What is finished is not run again; whatever ends a sweep early, what was finished is in the file, and the file says
that it is not whole. Seeds are outside and variants within, so that a part of a sweep still compares like with like.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from twin.experiments.comparison import ProgressFactory
from twin.experiments.design import Design
from twin.experiments.execution.executors import Executor, ExecutorError
from twin.experiments.execution.results import ResultStore
from twin.experiments.execution.runner import run_all
from twin.experiments.execution.task import Task


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What came of a sweep."""

    runs: int
    fresh: int
    """Runs that were done this time."""
    crashed: int
    broken: int
    """Runs in which an invariant or an expectation did not hold."""
    first: str
    """The first that crashed or did not hold, and why."""


def sweep(design: Design, execute: Executor, store: ResultStore, watching: ProgressFactory) -> SweepResult:
    """Does what is missing and writes the file.

    Raises:
        KeyboardInterrupt: on Ctrl-C; the file holds what was finished.
        ExecutorError: if the cluster is lost; so here.
        StoreError: if the disk refuses.
    """
    keys = design.keys()
    missing = sum(key not in store for key in keys)
    try:
        with watching(missing) as watch:
            run_all(_tasks(design, store), execute, store, watch)
    except (KeyboardInterrupt, ExecutorError):
        store.write(keys, design.paths, scenario=design.baseline.scenario.name)
        raise
    store.write(keys, design.paths, scenario=design.baseline.scenario.name)
    return _result(keys, missing, store)


def _tasks(design: Design, store: ResultStore) -> Iterator[Task]:
    for seed in design.seeds:
        for variant in design.variants:
            if design.key(variant, seed) not in store:
                yield design.task(variant, seed)


def _result(keys: Sequence[str], fresh: int, store: ResultStore) -> SweepResult:
    crashed = broken = 0
    first = ""
    for row in store.rows(keys):
        crashed += bool(row.error)
        broken += row.passed is False
        if not first and not row.passed:
            first = f"{row.variant}, seed {row.seed}: {row.error or row.violation or 'an expectation does not hold'}"
    return SweepResult(len(keys), fresh, crashed, broken, first)
