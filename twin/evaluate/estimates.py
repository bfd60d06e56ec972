"""Means over seeds with confidence intervals, for many variants at once.

Intervals are Student's t at 95 %: with few seeds a bootstrap is too narrow, and a sweep has thousands of them.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.05

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Mean of a variant's runs; the ends are None with fewer than two runs."""

    mean: float
    low: float | None
    high: float | None
    count: int


def estimate(values: Floats) -> Estimate | None:
    """Return the mean of the measured values (those that are not NaN); None if nothing was measured."""
    measured = values[~np.isnan(values)]
    if not measured.size:
        return None
    mean = float(measured.mean())
    if measured.size < 2:
        return Estimate(mean, None, None, 1)
    quantile = float(stats.t.ppf(1 - LEVEL / 2, measured.size - 1))
    half = quantile * float(measured.std(ddof=1)) / measured.size**0.5
    return Estimate(mean, mean - half, mean + half, int(measured.size))
