"""Fit the step-time model to load tests: simulated and measured levels are compared, by least squares.

Residuals are logarithms of ratios, so that an error of 10 % counts the same for a short and for a long time; large ones
count less (soft L1), since a machine that others use has outliers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize

from fake_vllm.engine.timing import StepTimeModel
from twin.calibration.fit import Floats
from twin.calibration.load_test.records import LoadTest
from twin.calibration.step_fit.parameters import bounds, first_guess, parameter_names, values_of, with_values
from twin.calibration.step_fit.simulate import simulate_run
from twin.calibration.step_fit.summary import MeasuredLevel, measured_levels, summary

_DIFFERENCE = 0.01  # relative step of the numerical derivative: the simulated schedule changes in small jumps
_OUTLIER = 0.1  # residual above which soft L1 grows linearly
_MOST_EVALUATIONS = 25
_OVERHEADS = (0.25, 0.01)
"""Shares of a lone first token in the API server that the fit begins with; the better result counts."""
_Z95 = 1.96
_MOST_UNCERTAIN = 9.99  # shares above are as good as unknown
_SPREAD_MOST = 1000.0  # the largest that a profile may have

Progress = Callable[[float, str], None]


class FitError(Exception):
    """The load tests do not determine a model; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class StepFit:
    """A fitted step-time model.

    Attributes:
        timing: the model.
        values: the fitted entries, in seconds or as a share.
        uncertainty: half of the 95 % confidence interval of each, as a share of the value.
        levels: all levels of the load tests, seen by the fit or held back.
    """

    timing: StepTimeModel
    values: dict[str, float]
    uncertainty: dict[str, float]
    levels: tuple[MeasuredLevel, ...]


def fit_steps(
    tests: Sequence[LoadTest], base: StepTimeModel, progress: Progress = lambda _share, _text: None
) -> StepFit:
    """Fit the step times to one half of the levels; `base` supplies what a load test does not determine.

    Raises:
        FitError: if the levels do not determine the parameters.
    """
    levels = measured_levels(tests)
    seen = [level for level in levels if not level.is_held_back]
    _check(levels, seen)
    names = parameter_names(seen)
    rank = tests[0].server.max_lora_rank
    target = [np.log(summary(level.runs)) for level in seen]
    done = 0

    def residuals(vector: Floats) -> Floats:
        nonlocal done
        done += 1
        progress(min(done / (len(_OVERHEADS) * _MOST_EVALUATIONS * len(names)), 1.0), "fitting")
        model = with_values(base, values_of(names, vector), rank)
        gaps = [np.log(predict(level, model)) - goal for level, goal in zip(seen, target, strict=True)]
        return np.asarray(np.nan_to_num(np.concatenate(gaps)))

    results = [
        optimize.least_squares(
            residuals, first_guess(names, _lone(seen), overhead), bounds=bounds(names), diff_step=_DIFFERENCE,
            loss="soft_l1", f_scale=_OUTLIER, max_nfev=_MOST_EVALUATIONS,
        )
        for overhead in _OVERHEADS
    ]  # fmt: skip
    result = min(results, key=lambda one: float(one.cost))
    values = values_of(names, result.x)
    timing = replace(with_values(base, values, rank), spread=_spread(seen))
    uncertainty = dict(zip(names, _uncertainty(result.jac, result.fun), strict=True))
    return StepFit(timing, values, uncertainty, tuple(levels))


def predict(level: MeasuredLevel, timing: StepTimeModel) -> Floats:
    """Return what a server with these step times would show at this level; see `summary`."""
    return summary([simulate_run(level.runs[0], level.test.server, timing)])


def _check(levels: Sequence[MeasuredLevel], seen: Sequence[MeasuredLevel]) -> None:
    for name in ("concurrency", "prompt_tokens"):
        if len({getattr(level.level, name) for level in levels}) < 2:
            raise FitError(f"the load test has one value of {name}; at least two are needed")
    if min(level.level.output_tokens for level in levels) < 2:
        raise FitError("the load test has answers of one token; at least two are needed to see the time between tokens")
    needed = 3 * len(seen)
    if needed < len(parameter_names(seen)) or not any(not level.level.adapters for level in seen):
        raise FitError("the load test has too few levels; the base model is needed at two levels of concurrency")


def _lone(seen: Sequence[MeasuredLevel]) -> tuple[float, float, int]:
    level = min((level for level in seen if not level.level.adapters), key=lambda level: level.level.concurrency)
    first, between, _ = summary(level.runs)
    return float(first), float(between), level.level.prompt_tokens


def _spread(seen: Sequence[MeasuredLevel]) -> float:
    """Return the 95th percentile over the median of first tokens of lone requests: hardly more than one step each."""
    ratios = []
    for level in seen:
        if level.level.concurrency == 1:
            first = np.array([request.time_to_first_token for run in level.runs for request in run.requests])
            ratios.append(float(np.quantile(first, 0.95) / np.median(first)))
    return float(np.clip(np.median(ratios), 1.0, _SPREAD_MOST)) if ratios else 1.0


def _uncertainty(jacobian: Floats, residuals: Floats) -> list[float]:
    """Return half of the 95 % confidence intervals of logarithms, which is a share of the value."""
    freedom = max(len(residuals) - jacobian.shape[1], 1)
    variance = float(residuals @ residuals) / freedom
    covariance = np.linalg.pinv(jacobian.T @ jacobian) * variance
    flat = np.linalg.norm(jacobian, axis=0) < 1e-9
    shares = np.expm1(np.minimum(_Z95 * np.sqrt(np.diag(covariance)), np.log1p(_MOST_UNCERTAIN)))
    return [float(share) for share in np.where(flat, _MOST_UNCERTAIN, shares)]
