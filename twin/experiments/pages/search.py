"""Page of `twin search`: the best point with its conditions, the check with new seeds, and the path of the trials."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from twin.experiments.design import set_options
from twin.experiments.pages.comparison import conclusion, probability
from twin.experiments.pages.template import fill
from twin.experiments.search import Evaluation, SearchResult, constraint_violations
from twin.report.directions import verdict
from twin.report.figures.points import Frame, PointMark, points
from twin.report.svg import Figure
from twin.report.wording import format_measure, format_number, heading, label, sentence
from twin.scenario import Scenario

MAX_ROWS = 200
"""Trials in the table, the best first."""
Kind = Literal["best", "satisfied", "violated", "failed"]
KINDS: tuple[Kind, ...] = ("best", "satisfied", "violated", "failed")
_LOOKS = {"best": "mark three", "satisfied": "mark one", "violated": "hollow one"}
_NAMES = {"best": "best", "satisfied": "satisfies the limits", "violated": "violates a limit"}


@dataclass(frozen=True, slots=True)
class Trial:
    """One point in the table of trials."""

    number: int
    evaluation: Evaluation
    kind: Kind
    remark: str
    """Limits that are violated, or why there is no result."""
    order: tuple[float, ...]
    """The best trials first."""


@dataclass(frozen=True, slots=True)
class LimitLine:
    """A limit, and whether the best point satisfies it with the new seeds."""

    text: str
    value: str
    satisfied: bool


def render(result: SearchResult, scenario: Scenario, file: str) -> str:
    """Return the page of a finished search."""
    paths = list(result.evaluations[0].settings)
    trials = [_trial(result, i, evaluation) for i, evaluation in enumerate(result.evaluations, start=1)]
    return fill(
        "search.html.jinja",
        result=result,
        scenario=scenario,
        paths=paths,
        aim=_aim(result),
        advice=_advice(result),
        limits=_limits(result),
        trials=sorted(trials, key=lambda trial: trial.order),
        most=MAX_ROWS,
        counts={kind: sum(trial.kind == kind for trial in trials) for kind in KINDS},
        figures=_figures(result, trials, paths),
        command=f"twin run {file} {set_options(result.best.settings)}" if result.best else "",
        format_measure=format_measure,
        label=label,
        conclusion=conclusion,
        probability=probability,
        verdict=verdict,
    )


def _trial(result: SearchResult, number: int, evaluation: Evaluation) -> Trial:
    kind, best = _kind(result, evaluation), result.objective.sign * evaluation.means.get(result.objective.measure, 0.0)
    order = KINDS.index(kind), sum(evaluation.excess), best, number
    return Trial(number, evaluation, kind, _remark(result, evaluation), order)


def _kind(result: SearchResult, evaluation: Evaluation) -> Kind:
    if evaluation.error:
        return "failed"
    if not evaluation.satisfied:
        return "violated"
    return "best" if result.best is not None and evaluation.settings == result.best.settings else "satisfied"


def _remark(result: SearchResult, evaluation: Evaluation) -> str:
    if evaluation.error:
        return evaluation.error
    violated = (
        f"{limit} missed by {format_number(100 * miss, 2)} %"
        for limit, miss in zip(result.objective.limits, evaluation.excess, strict=False)
        if miss
    )
    return ", ".join(violated)


def _aim(result: SearchResult) -> str:
    objective = result.objective
    measure = label(objective.measure) if objective.measure else ""
    aim = f"{'least' if objective.sign > 0 else 'most'} {measure}" if measure else "any point"
    return f"{aim} with {' and '.join(map(str, objective.limits))}" if objective.limits else aim


def _advice(result: SearchResult) -> list[str]:
    """Return what to do, and the condition under which that is right."""
    if result.best is None:
        nearest = min((e for e in result.evaluations if not e.error), key=lambda e: sum(e.excess), default=None)
        lines = [f"None of {len(result.evaluations)} points satisfies the limits."]
        return lines + ([f"Nearest: {_named(nearest)} ({_remark(result, nearest)})."] if nearest else [])
    effect = f"with {result.check[0].pairs} new seeds, against the unchanged scenario: {sentence(result.check)}"
    if result.passed:
        return [f"Use {_named(result.best)}.", f"{effect[0].upper()}{effect[1:]}."]
    return [f"Best of the trials: {_named(result.best)}, but it violates a limit with new seeds.", f"{effect}."]


def _limits(result: SearchResult) -> list[LimitLine]:
    if result.best is None:
        return []
    misses = constraint_violations(result.objective, result.checked)
    return [
        LimitLine(str(limit), format_measure(limit.name, result.checked.get(limit.name)), not miss)
        for limit, miss in zip(result.objective.limits, misses, strict=True)
    ]


def _named(evaluation: Evaluation) -> str:
    return ", ".join(f"{path}={value}" for path, value in evaluation.settings.items())


def _figures(result: SearchResult, trials: Sequence[Trial], paths: Sequence[str]) -> list[Figure]:
    """Return each measure over the trials, and then the first over each setting."""
    measures = result.objective.measures
    drawn = [_over_trials(result, trials, measure) for measure in measures]
    drawn += [_over_setting(result, trials, path, measures[0]) for path in paths]
    return [figure for figure in drawn if figure is not None]


def _over_trials(result: SearchResult, trials: Sequence[Trial], measure: str) -> Figure | None:
    kept = [trial for trial in trials if trial.kind in ("best", "satisfied") and measure in trial.evaluation.means]
    steps = list[tuple[str, float]]()
    if measure == result.objective.measure:
        sign, best = result.objective.sign, math.inf
        for trial in kept:
            best = min(best, sign * trial.evaluation.means[measure])
            steps.append((str(trial.number), sign * best))
    title = f"{heading(label(measure))}, trial by trial"
    return _figure(result, f"trials-{measure.replace('.', '-')}", title, measure, _Axis("trial", trials, steps))


def _over_setting(result: SearchResult, trials: Sequence[Trial], path: str, measure: str) -> Figure | None:
    name = f"setting-{path.replace('.', '-')}"
    return _figure(result, name, f"{heading(label(measure))} by {path}", measure, _Axis(path, trials))


@dataclass(frozen=True, slots=True)
class _Axis:
    """Trials over their number or over a setting."""

    title: str
    trials: Sequence[Trial]
    steps: Sequence[tuple[str, float]] = ()

    def at(self, trial: Trial) -> str:
        return str(trial.number) if self.title == "trial" else trial.evaluation.settings[self.title]


def _figure(result: SearchResult, name: str, title: str, measure: str, axis: _Axis) -> Figure | None:
    marks = [
        PointMark(axis.at(trial), trial.evaluation.means[measure], _LOOKS[trial.kind], _tooltip(trial, measure))
        for trial in axis.trials
        if measure in trial.evaluation.means and trial.kind in _LOOKS
    ]
    drawn = dict.fromkeys(trial.kind for trial in axis.trials if trial.kind in _LOOKS)
    guides = [(limit.value, str(limit)) for limit in result.objective.limits if limit.name == measure]
    frame = Frame(
        axis.title, label(measure), lambda value: format_measure(measure, value),
        [(_LOOKS[kind], _NAMES[kind]) for kind in _LOOKS if kind in drawn], guides, axis.steps,
    )  # fmt: skip
    values = [mark.y for mark in marks] or [0.0]
    low, high = (format_measure(measure, end) for end in (min(values), max(values)))
    caption = "Each point is a trial, the mean over its seeds." + (
        " The line is the best so far." if axis.steps else ""
    )
    return points(name, title, marks, frame, alt=f"{title}: {low} to {high} in {len(marks)} trials.", caption=caption)


def _tooltip(trial: Trial, measure: str) -> str:
    value = format_measure(measure, trial.evaluation.means[measure])
    return f"trial {trial.number}: {_named(trial.evaluation)}: {value}" + (f"; {trial.remark}" if trial.remark else "")
