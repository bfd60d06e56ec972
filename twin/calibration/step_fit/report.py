"""Rows of the table of prediction errors: one for each maximum rank, number of adapters and concurrency."""

from collections.abc import Sequence

import numpy as np

from twin.calibration.calibration import PredictionError, PredictionRow
from twin.calibration.step_fit.prediction import LevelError, by_load, error_shares
from twin.calibration.step_fit.summary import METRICS


def prediction_rows(errors: Sequence[LevelError]) -> tuple[PredictionRow, ...]:
    """Return the errors by load."""
    return tuple(
        PredictionRow(rank, adapters, concurrency, tuple(_error(group, metric) for metric in range(len(METRICS))))
        for (rank, adapters, concurrency), group in by_load(errors).items()
    )


def prediction_total(errors: Sequence[LevelError]) -> tuple[PredictionError, ...]:
    """Return the errors of all loads: of each metric, then of all metrics together."""
    return (*(_error(errors, metric) for metric in range(len(METRICS))), _error(errors, None))


def _error(errors: Sequence[LevelError], metric: int | None) -> PredictionError:
    shares = error_shares(errors, metric)
    if metric is None:
        return PredictionError("all", np.nan, np.nan, shares.median, shares.p95, shares.noise_median, shares.noise_p95)
    measured, predicted = (
        float(np.median([getattr(error, name)[metric] for error in errors])) for name in ("measured", "predicted")
    )
    return PredictionError(
        METRICS[metric], measured, predicted, shares.median, shares.p95, shares.noise_median, shares.noise_p95
    )
