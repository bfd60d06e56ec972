"""From measurements of real engines to the file of times that `fake-vllm` and scenarios read.

`sources.py` reads what was measured: tables, or the histograms of `/metrics` pages. `fitting.py` finds the distribution
that fits one quantity and says how well. `calibrating.py` knows which quantity is which entry of the file; `written.py`
writes it. The picture is `twin.report.calibration`'s.
"""

from twin.calibration.calibration import CalibratedParameter, Calibration, from_measurements
from twin.calibration.fit import Fit, Histogram, as_measured, fit_histogram, fit_values, rounded
from twin.calibration.measurements import Measurements, SourceError, read
from twin.calibration.profile_writer import written

__all__ = [
    "CalibratedParameter",
    "Calibration",
    "Fit",
    "Histogram",
    "Measurements",
    "SourceError",
    "as_measured",
    "fit_histogram",
    "fit_values",
    "from_measurements",
    "read",
    "rounded",
    "written",
]
