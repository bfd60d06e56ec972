"""Results as tidy pandas frames, measures of placement, and plots: the API for notebooks.

Start at `frames.py`, which reads runs and sweeps; units are in the column names. `density.py` and `fleet.py` measure
the distribution of adapters over pods and its cost, `capacity.py` how far a fleet can be filled. `plots.py` draws on a
given `Axes`. `api.py` runs scenarios and sweeps. Nothing else in the twin uses this package.
"""

from twin.analysis import plots
from twin.analysis.api import run, sweep
from twin.analysis.capacity import frontier, means, reach
from twin.analysis.density import adapters_held, adapters_over_time, cv, evenness, gini, jain
from twin.analysis.fleet import cold_hits, gpu_hours, gpu_hours_for, stranded
from twin.analysis.frames import attempts, loads, placements, runs, traffic

__all__ = [
    "adapters_held",
    "adapters_over_time",
    "attempts",
    "cold_hits",
    "cv",
    "evenness",
    "frontier",
    "gini",
    "gpu_hours",
    "gpu_hours_for",
    "jain",
    "loads",
    "means",
    "placements",
    "plots",
    "reach",
    "run",
    "runs",
    "stranded",
    "sweep",
    "traffic",
]
