"""`twin search`: find the settings that minimise a measure and satisfy the limits.

Points come from optuna's TPE sampler, four at a time for any number of processes, so that the same search seed gives
the same points. All points run with the same seeds, so that differences between points come from their settings. The
best of many points is partly luck, so at the end it is run with new seeds beside the unchanged scenario, and that
comparison is the result.
"""

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from twin.evaluate import statistics
from twin.evaluate.statistics import Comparison
from twin.experiments.comparison import ProgressFactory, to_frame
from twin.experiments.design import Design, DesignErrors, build_design
from twin.experiments.execution.errors import missing_package
from twin.experiments.execution.executors import Executor
from twin.experiments.execution.results import ResultStore
from twin.experiments.execution.runner import RowCallback, run_all
from twin.experiments.execution.task import Row
from twin.experiments.search_space import Choice, Dimension, Range
from twin.scenario import Expectation

BATCH_SIZE = 4
"""Points that are requested together, without learning from each other."""
FRESH_SEEDS = 20
"""Seeds of the final check."""


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """The scenario file, the axes and the fixed settings of a search."""

    file: Path
    axes: Mapping[str, Dimension]
    overrides: Mapping[str, str]

    def design(self, points: Sequence[Mapping[str, str]], seeds: int) -> Design:
        """Return a design of these points; an empty point is the unchanged scenario.

        Raises:
            DesignErrors: if any point is not valid.
        """
        return build_design(self.file, points, self.overrides, seeds)


@dataclass(frozen=True, slots=True)
class Objective:
    """Requirements for the means over the seeds of a point."""

    measure: str = ""
    """Measure to optimise; if empty, the search ends at the first point that satisfies the limits."""
    sign: Literal[1, -1] = 1
    """1 to minimise, -1 to maximise."""
    limits: tuple[Expectation, ...] = ()

    @property
    def measures(self) -> list[str]:
        """The measures of the objective and of the limits."""
        return list(dict.fromkeys([*([self.measure] if self.measure else []), *(limit.name for limit in self.limits)]))


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """Options of a search."""

    trials: int
    seeds: int
    seed: int = 0
    """Seed of the sampler."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A point and its result."""

    settings: Mapping[str, str]
    means: Mapping[str, float]
    """Means over seeds of the objective's measures, if they were measured."""
    excess: tuple[float, ...] = ()
    """Violation of each limit as a share of it; 0 if it is satisfied."""
    error: str = ""
    """Why the point has no result; empty if it has one."""

    @property
    def satisfied(self) -> bool:
        """True if all limits are satisfied."""
        return not self.error and not any(self.excess)


@dataclass(slots=True)
class SearchResult:
    """Result of a search."""

    objective: Objective
    options: SearchOptions
    evaluations: list[Evaluation] = field(default_factory=list)
    best: Evaluation | None = None
    check: Sequence[Comparison] = ()
    """The best point compared with the unchanged scenario, with new seeds."""
    checked: Mapping[str, float] = field(default_factory=dict)
    """Means of the best point with the new seeds."""

    @property
    def passed(self) -> bool:
        """True if there is a best point and it satisfies the limits with the new seeds too."""
        return self.best is not None and not any(constraint_violations(self.objective, self.checked))

    def ranked(self) -> list[Evaluation]:
        """Return the points that satisfy the limits, the best first, without duplicates."""
        kept = {
            tuple(evaluation.settings.items()): evaluation for evaluation in self.evaluations if evaluation.satisfied
        }
        return sorted(
            kept.values(), key=lambda point: self.objective.sign * point.means.get(self.objective.measure, 0.0)
        )


def search(
    space: SearchSpace,
    objective: Objective,
    options: SearchOptions,
    execute: Executor,
    store: ResultStore,
    progress: ProgressFactory,
) -> SearchResult:
    """Evaluate points until the limit of trials, or, without a measure to optimise, until one satisfies the limits.

    Raises:
        DesignErrors: if an end of an axis is not valid; raised before anything runs.
    """
    ends = [{path: axis.at(share)} for path, axis in space.axes.items() for share in (0.0, 1 - 1e-9)]
    base = space.design([{}, *ends], options.seeds)
    result, designs = SearchResult(objective, options), list[Design]()
    sampler = _Sampler(space.axes, objective, options.seed)
    with progress(options.trials * options.seeds) as on_row:
        while len(result.evaluations) < options.trials and not (result.best and not objective.measure):
            points = sampler.ask(min(BATCH_SIZE, options.trials - len(result.evaluations)))
            tried = [_try_design(space, point, options.seeds) for point in points]
            valid = [design for design in tried if isinstance(design, Design)]
            _run(valid, execute, store, on_row)
            batch = [_judge(point, design, objective, store) for point, design in zip(points, tried, strict=True)]
            designs += valid
            sampler.tell(batch)
            result.evaluations += batch
            result.best = next(iter(result.ranked()), None)
    _check_best(result, space, base, execute, store)
    store.write(
        list(dict.fromkeys(itertools.chain.from_iterable(design.keys() for design in designs))),
        list(space.axes),
        scenario=base.baseline.scenario.name,
    )
    return result


def constraint_violations(objective: Objective, means: Mapping[str, float]) -> tuple[float, ...]:
    """Return the violation of each limit, as a share of it (of 1, if it is 0)."""
    return tuple(_constraint_violation(limit, means.get(limit.name, math.inf)) for limit in objective.limits)


def _constraint_violation(limit: Expectation, value: float) -> float:
    gap = value - limit.value
    size = abs(limit.value) or 1.0
    match limit.op:
        case "<" | "<=":
            kept, missed = (gap < 0 or (gap == 0 and limit.op == "<=")), gap
        case ">" | ">=":
            kept, missed = (gap > 0 or (gap == 0 and limit.op == ">=")), -gap
        case "==":
            kept, missed = gap == 0, abs(gap)
        case _:
            kept, missed = gap != 0, 0.0
    return 0.0 if kept else max(missed / size, 1e-9)


def _try_design(space: SearchSpace, point: Mapping[str, str], seeds: int) -> Design | str:
    """Return the design of a point, or an error: two settings can exclude each other."""
    try:
        return space.design([point], seeds)
    except DesignErrors as errors:
        return str(errors.args[0])


def _run(designs: Sequence[Design], execute: Executor, store: ResultStore, on_row: RowCallback | None) -> None:
    tasks = {
        design.key(variant, seed): design.task(variant, seed)
        for design in designs
        for variant in design.variants
        for seed in design.seeds
    }
    run_all([task for key, task in tasks.items() if key not in store], execute, store, on_row)


def _judge(point: Mapping[str, str], design: Design | str, objective: Objective, store: ResultStore) -> Evaluation:
    if isinstance(design, str):
        return Evaluation(dict(point), {}, error=design)
    rows = list(store.rows(design.keys()))
    means = _means(rows, objective)
    errors = [row.error or row.violation for row in rows if row.error or row.violation]
    errors += [f"{name} was not measured in any run" for name in objective.measures if name not in means]
    return Evaluation(
        dict(point), means, () if errors else constraint_violations(objective, means), next(iter(errors), "")
    )


def _means(rows: Sequence[Row], objective: Objective) -> dict[str, float]:
    means = {}
    for name in objective.measures:
        values = [value for row in rows if (value := row.measures.get(name)) is not None]
        if values:
            means[name] = float(np.mean(values))
    return means


def _check_best(result: SearchResult, space: SearchSpace, base: Design, execute: Executor, store: ResultStore) -> None:
    if result.best is None:
        return
    design = space.design([{}, result.best.settings], 1)
    first = base.seeds[-1] + 1
    design = Design(design.variants, tuple(range(first, first + FRESH_SEEDS)), design.digests)
    _run([design], execute, store, None)
    rows = list(store.rows(design.keys()))
    result.check = statistics.compare(to_frame(rows), design.baseline.name, result.objective.measures)
    result.checked = _means([row for row in rows if row.variant != design.baseline.name], result.objective)


class _Sampler:
    """Adapter of optuna's ask-and-tell interface."""

    def __init__(self, axes: Mapping[str, Dimension], objective: Objective, seed: int) -> None:
        try:
            import optuna
        except ImportError:
            raise missing_package("optuna", "lab") from None
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna, self._axes, self._goal = optuna, axes, objective
        self._distributions = {path: _distribution(optuna.distributions, axis) for path, axis in axes.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # optuna marks its support of constraints as experimental
            sampler = optuna.samplers.TPESampler(
                seed=seed, multivariate=True, constant_liar=True,
                constraints_func=lambda trial: trial.user_attrs.get("excess", (math.inf,)),
            )  # fmt: skip
        self._study = optuna.create_study(sampler=sampler)
        self._pending: list[Any] = []

    def ask(self, count: int) -> list[dict[str, str]]:
        """Return the next points."""
        self._pending = [self._study.ask(self._distributions) for _ in range(count)]
        return [
            {path: _format_value(axis, trial.params[path]) for path, axis in self._axes.items()}
            for trial in self._pending
        ]

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Report the results of the points, in the same order."""
        for trial, evaluation in zip(self._pending, evaluations, strict=True):
            if evaluation.error:
                self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
                continue
            trial.set_user_attr("excess", evaluation.excess or (0.0,))
            measure = self._goal.measure
            self._study.tell(trial, self._goal.sign * evaluation.means[measure] if measure else sum(evaluation.excess))


def _distribution(kinds: Any, axis: Dimension) -> Any:
    if isinstance(axis, Choice):
        return kinds.CategoricalDistribution(axis.values)
    assert isinstance(axis, Range)
    if axis.kind == "whole":
        return kinds.IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return kinds.FloatDistribution(axis.low, axis.high, log=axis.log)


def _format_value(axis: Dimension, value: Any) -> str:
    return axis.show(value) if isinstance(axis, Range) else str(value)
