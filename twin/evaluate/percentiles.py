"""What the twin calls a percentile, wherever it says one: in summaries, tiles, figures and tables.

It is interpolated between the two values that it falls between, as numpy and pandas do by default, so that frames
agree with summaries: of four adapters that took 30, 35, 37 and 40 s the median is 36 s. It is of what was measured: an
adapter that never ran has no time.
"""

from collections.abc import Sequence

import numpy as np


def percentiles(values: Sequence[float], *shares: float) -> list[float]:
    """The values below which so many percent lie; of at least one value, in any order."""
    return [float(found) for found in np.percentile(np.asarray(values, dtype=float), shares)]
