"""Percentiles, by one definition for summaries, figures and tables.

They are interpolated linearly, as numpy and pandas do by default: the median of 30, 35, 37 and 40 s is 36 s. Adapters
that never ran have no time and are not counted.
"""

from collections.abc import Sequence

import numpy as np


def percentiles(values: Sequence[float], *shares: float) -> list[float]:
    """Return percentiles of at least one value; `shares` are percentages."""
    return [float(found) for found in np.percentile(np.asarray(values, dtype=float), shares)]
