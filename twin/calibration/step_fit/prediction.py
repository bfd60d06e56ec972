"""Error of predictions for the levels that were held back, beside the noise floor of the measurements.

The error of a level is the ratio of its simulated to its measured median, less one. The noise floor is what two halves
of the repetitions of the same level differ by: no model can do better.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fake_vllm.engine.timing import StepTimeModel
from twin.calibration.fit import Floats
from twin.calibration.step_fit.fit import predict
from twin.calibration.step_fit.summary import MeasuredLevel, summary


@dataclass(frozen=True, slots=True)
class LevelError:
    """Measured and predicted numbers of one level that was held back, in the order of `summary.METRICS`."""

    level: MeasuredLevel
    measured: Floats
    predicted: Floats
    noise: Floats
    """Relative difference between the halves of the repetitions."""

    @property
    def error(self) -> Floats:
        return np.abs(self.predicted / self.measured - 1)


@dataclass(frozen=True, slots=True)
class ErrorShares:
    """Median and 95th percentile of errors and of the noise floor, as shares."""

    median: float
    p95: float
    noise_median: float
    noise_p95: float


def held_back_errors(levels: Sequence[MeasuredLevel], timing: StepTimeModel) -> list[LevelError]:
    """Return the errors of all levels that were held back."""
    return [
        LevelError(level, summary(level.runs), predict(level, timing), _noise(level))
        for level in levels
        if level.is_held_back
    ]


def by_load(errors: Sequence[LevelError]) -> dict[tuple[int, int, int], list[LevelError]]:
    """Return the errors by maximum rank, number of adapters and concurrency."""
    groups: dict[tuple[int, int, int], list[LevelError]] = {}
    for error in errors:
        level = error.level
        key = (level.test.server.max_lora_rank, level.level.adapters, level.level.concurrency)
        groups.setdefault(key, []).append(error)
    return dict(sorted(groups.items()))


def error_shares(errors: Sequence[LevelError], metric: int | None = None) -> ErrorShares:
    """Return the errors of one of the metrics, or of all together."""
    columns = slice(None) if metric is None else metric
    error = np.concatenate([np.atleast_1d(item.error[columns]) for item in errors])
    noise = np.concatenate([np.atleast_1d(item.noise[columns]) for item in errors])
    return ErrorShares(*_quantiles(error), *_quantiles(noise))


def _quantiles(values: Floats) -> tuple[float, float]:
    known = values[~np.isnan(values)]  # no repetition: no noise is known
    median, p95 = np.quantile(known, (0.5, 0.95)) if len(known) else (np.nan, np.nan)
    return float(median), float(p95)


def _noise(level: MeasuredLevel) -> Floats:
    halves = [[run for run in level.runs if run.repetition % 2 == half] for half in (0, 1)]
    if not all(halves):
        return np.full(3, np.nan)
    one, two = (summary(half) for half in halves)
    return np.abs(one / two - 1)
