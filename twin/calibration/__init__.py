"""From measurements of real engines to the file of times that `fake-vllm` and scenarios read.

`sources.py` reads what was measured: tables, or the histograms of `/metrics` pages. `fitting.py` finds the distribution
that fits one quantity and says how well. `calibrating.py` knows which quantity is which entry of the file; `written.py`
writes it. The picture is `twin.report.calibration`'s.
"""

from twin.calibration.calibration import Calibration, Finding, from_measurements
from twin.calibration.fit import Binned, Fit, as_measured, fit_bins, fit_values, rounded
from twin.calibration.measurements import Measured, SourceError, read
from twin.calibration.profile_writer import written

__all__ = [
    "Binned",
    "Calibration",
    "Finding",
    "Fit",
    "Measured",
    "SourceError",
    "as_measured",
    "fit_bins",
    "fit_values",
    "from_measurements",
    "read",
    "rounded",
    "written",
]
