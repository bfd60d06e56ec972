"""Turn measurements of real engines into a model profile: the file of times that `fake-vllm` and scenarios read.

Start at `calibration.py`: it maps each measured quantity to an entry of the file. `measurements.py` reads tables and
`/metrics` pages, `fit.py` fits distributions, `profile_writer.py` writes the file and `page.py` its HTML page.
`load_test/` measures a running server, `step_fit/` fits the speed of its steps to that.
"""

from twin.calibration.calibration import (
    CalibratedParameter,
    Calibration,
    PredictionError,
    PredictionRow,
    from_measurements,
)
from twin.calibration.fit import Fit, Histogram, as_measured, fit_histogram, fit_values, rounded
from twin.calibration.measurements import Measurements, SourceError, read
from twin.calibration.profile_writer import profile_yaml

__all__ = [
    "CalibratedParameter",
    "Calibration",
    "Fit",
    "Histogram",
    "Measurements",
    "PredictionError",
    "PredictionRow",
    "SourceError",
    "as_measured",
    "fit_histogram",
    "fit_values",
    "from_measurements",
    "profile_yaml",
    "read",
    "rounded",
]
