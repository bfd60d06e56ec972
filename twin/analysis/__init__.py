"""Results as tidy pandas frames, and what they say about placement: what notebooks start from.

`frames.py` reads runs and sweeps (`runs`, `placements`, `attempts`, `loads`, `traffic`), units in the names of
columns. `density.py` and `fleet.py` measure how adapters lie on pods and what that costs; `frontier.py` says how far a
fleet can be filled. `plots.py` draws on an `Axes` that it is given and decides nothing else about the figure.
`doing.py` runs what is not there yet. Nothing here is used by the rest of the twin.
"""

from twin.analysis import plots
from twin.analysis.api import run, sweep
from twin.analysis.capacity import frontier, means, reach
from twin.analysis.density import adapters_over_time, cv, evenness, gini, held, jain
from twin.analysis.fleet import cold_hits, gpu_hours, gpu_hours_for, stranded
from twin.analysis.frames import attempts, loads, placements, runs, traffic

__all__ = [
    "adapters_over_time",
    "attempts",
    "cold_hits",
    "cv",
    "evenness",
    "frontier",
    "gini",
    "gpu_hours",
    "gpu_hours_for",
    "held",
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
