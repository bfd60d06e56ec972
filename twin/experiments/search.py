"""`twin search`: the settings that make a measure smallest, among those that keep what was asked for.

Points are asked of optuna's TPE sampler, four at a time whatever the number of processes, so that the same search seed
asks for the same points. Every point meets the same seeds: what differs between points is the points' doing. The best
of many was lucky too, so in the end it meets seeds that no point had met, beside the scenario as it is, and that is
what is claimed.
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
from twin.experiments.execution.executors import Executor, missing
from twin.experiments.execution.results import ResultStore
from twin.experiments.execution.runner import RowCallback, run_all
from twin.experiments.execution.task import Row
from twin.experiments.search_space import Choice, Dimension, Range
from twin.scenario import Expectation

AT_A_TIME = 4
"""Points that are asked for at once: no more than this is tried without having learnt from the last."""
FRESH_SEEDS = 20
"""Seeds of the last check."""


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """Where is looked."""

    file: Path
    axes: Mapping[str, Dimension]
    overrides: Mapping[str, str]

    def design(self, points: Sequence[Mapping[str, str]], seeds: int) -> Design:
        """These points, checked; an empty one is the scenario as it is.

        Raises:
            DesignErrors: if any cannot be run.
        """
        return build_design(self.file, points, self.overrides, seeds)


@dataclass(frozen=True, slots=True)
class Objective:
    """What is wanted of a point: the means over its seeds count."""

    measure: str = ""
    """To be made small (or large); if empty, any point that keeps the limits will do, and the first one ends it."""
    sign: Literal[1, -1] = 1
    """-1 to make it large."""
    limits: tuple[Expectation, ...] = ()

    @property
    def measures(self) -> list[str]:
        """All that it names."""
        return list(dict.fromkeys([*([self.measure] if self.measure else []), *(limit.name for limit in self.limits)]))


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How a search is made."""

    trials: int
    seeds: int
    seed: int = 0
    """Of the sampler."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A point, and what came of it."""

    settings: Mapping[str, str]
    means: Mapping[str, float]
    """Of the objective's measures, over seeds; those that were measured."""
    excess: tuple[float, ...] = ()
    """By how much each limit is missed, as a share of it; 0 where it is kept."""
    trouble: str = ""
    """Why it cannot be judged; empty if it can."""

    @property
    def keeps(self) -> bool:
        """Whether all limits are kept."""
        return not self.trouble and not any(self.excess)


@dataclass(slots=True)
class SearchResult:
    """What a search came to."""

    objective: Objective
    options: SearchOptions
    tried: list[Evaluation] = field(default_factory=list)
    best: Evaluation | None = None
    check: Sequence[Comparison] = ()
    """The best against the scenario as it is, on seeds that no point had met."""
    checked: Mapping[str, float] = field(default_factory=dict)
    """Means of the best on those seeds."""

    @property
    def holds(self) -> bool:
        """Whether there is a best one, and it keeps the limits on fresh seeds too."""
        return self.best is not None and not any(constraint_violations(self.objective, self.checked))

    def ranked(self) -> list[Evaluation]:
        """Points that keep the limits, the best first; each once."""
        kept = {tuple(tried.settings.items()): tried for tried in self.tried if tried.keeps}
        return sorted(
            kept.values(), key=lambda tried: self.objective.sign * tried.means.get(self.objective.measure, 0.0)
        )


def search(
    space: SearchSpace,
    objective: Objective,
    options: SearchOptions,
    execute: Executor,
    store: ResultStore,
    watching: ProgressFactory,
) -> SearchResult:
    """Tries points until there have been enough, or, if there is nothing to minimise, one keeps all limits.

    Raises:
        DesignErrors: if an end of an axis cannot be run; said before anything is.
    """
    ends = [{path: axis.at(share)} for path, axis in space.axes.items() for share in (0.0, 1 - 1e-9)]
    base = space.design([{}, *ends], options.seeds)
    found, designs = SearchResult(objective, options), list[Design]()
    sampler = _Sampler(space.axes, objective, options.seed)
    with watching(options.trials * options.seeds) as watch:
        while len(found.tried) < options.trials and not (found.best and not objective.measure):
            points = sampler.ask(min(AT_A_TIME, options.trials - len(found.tried)))
            made = [_designed(space, point, options.seeds) for point in points]
            good = [design for design in made if isinstance(design, Design)]
            _run(good, execute, store, watch)
            tried = [_judged(point, design, objective, store) for point, design in zip(points, made, strict=True)]
            designs += good
            sampler.tell(tried)
            found.tried += tried
            found.best = next(iter(found.ranked()), None)
    _check(found, space, base, execute, store)
    store.write(
        list(dict.fromkeys(itertools.chain.from_iterable(design.keys() for design in designs))),
        list(space.axes),
        scenario=base.baseline.scenario.name,
    )
    return found


def constraint_violations(objective: Objective, means: Mapping[str, float]) -> tuple[float, ...]:
    """By how much each limit is missed, as a share of it (of 1, if it is 0)."""
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


def _designed(space: SearchSpace, point: Mapping[str, str], seeds: int) -> Design | str:
    """A point with its seeds, or why it is no scenario: two settings may not go together."""
    try:
        return space.design([point], seeds)
    except DesignErrors as errors:
        return str(errors.args[0])


def _run(designs: Sequence[Design], execute: Executor, store: ResultStore, watch: RowCallback | None) -> None:
    tasks = {
        design.key(variant, seed): design.task(variant, seed)
        for design in designs
        for variant in design.variants
        for seed in design.seeds
    }
    run_all([task for key, task in tasks.items() if key not in store], execute, store, watch)


def _judged(point: Mapping[str, str], design: Design | str, objective: Objective, store: ResultStore) -> Evaluation:
    if isinstance(design, str):
        return Evaluation(dict(point), {}, trouble=design)
    rows = list(store.rows(design.keys()))
    means = _means(rows, objective)
    wrong = [row.error or row.violation for row in rows if row.error or row.violation]
    wrong += [f"{name} was measured in no run" for name in objective.measures if name not in means]
    return Evaluation(
        dict(point), means, () if wrong else constraint_violations(objective, means), next(iter(wrong), "")
    )


def _means(rows: Sequence[Row], objective: Objective) -> dict[str, float]:
    found = {}
    for name in objective.measures:
        values = [value for row in rows if (value := row.measures.get(name)) is not None]
        if values:
            found[name] = float(np.mean(values))
    return found


def _check(found: SearchResult, space: SearchSpace, base: Design, execute: Executor, store: ResultStore) -> None:
    if found.best is None:
        return
    design = space.design([{}, found.best.settings], 1)
    first = base.seeds[-1] + 1
    design = Design(design.variants, tuple(range(first, first + FRESH_SEEDS)), design.digests)
    _run([design], execute, store, None)
    rows = list(store.rows(design.keys()))
    found.check = statistics.compare(to_frame(rows), design.baseline.name, found.objective.measures)
    found.checked = _means([row for row in rows if row.variant != design.baseline.name], found.objective)


class _Sampler:
    """optuna, asked for points and told what came of them."""

    def __init__(self, axes: Mapping[str, Dimension], objective: Objective, seed: int) -> None:
        try:
            import optuna
        except ImportError:
            raise missing("optuna", "lab") from None
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna, self._axes, self._goal = optuna, axes, objective
        self._places = {path: _distribution(optuna.distributions, axis) for path, axis in axes.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what optuna calls experimental is what it has for constraints
            sampler = optuna.samplers.TPESampler(
                seed=seed, multivariate=True, constant_liar=True,
                constraints_func=lambda trial: trial.user_attrs.get("excess", (math.inf,)),
            )  # fmt: skip
        self._study = optuna.create_study(sampler=sampler)
        self._asked: list[Any] = []

    def ask(self, count: int) -> list[dict[str, str]]:
        """The next points."""
        self._asked = [self._study.ask(self._places) for _ in range(count)]
        return [{path: _shown(axis, trial.params[path]) for path, axis in self._axes.items()} for trial in self._asked]

    def tell(self, tried: Sequence[Evaluation]) -> None:
        """What came of them, in the same order."""
        for trial, each in zip(self._asked, tried, strict=True):
            if each.trouble:
                self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
                continue
            trial.set_user_attr("excess", each.excess or (0.0,))
            measure = self._goal.measure
            self._study.tell(trial, self._goal.sign * each.means[measure] if measure else sum(each.excess))


def _distribution(kinds: Any, axis: Dimension) -> Any:
    if isinstance(axis, Choice):
        return kinds.CategoricalDistribution(axis.values)
    assert isinstance(axis, Range)
    if axis.kind == "whole":
        return kinds.IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return kinds.FloatDistribution(axis.low, axis.high, log=axis.log)


def _shown(axis: Dimension, value: Any) -> str:
    return axis.show(value) if isinstance(axis, Range) else str(value)
