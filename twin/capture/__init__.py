"""Turn a cluster into a scenario, read-only.

Start at `watcher.py`: it lists and watches a cluster for a while and returns an `Observation`. `history.py` derives
events from the observed changes, `scenario_builder.py` builds a scenario of them (`sanitize.py`: manifests,
`faults.py`: faults), and `comparison.py` runs it and compares the time in each phase with the observed one.
"""

from twin.capture.client import CaptureError, open_reader
from twin.capture.comparison import PhaseComparison, compare_phases
from twin.capture.history import build_history
from twin.capture.scenario_builder import CapturedScenario, build_scenario
from twin.capture.watcher import Observation, watch

__all__ = [
    "CaptureError",
    "CapturedScenario",
    "Observation",
    "PhaseComparison",
    "build_history",
    "build_scenario",
    "compare_phases",
    "open_reader",
    "watch",
]
