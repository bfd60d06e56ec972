"""From a cluster to a scenario: what stands there, and what happened while somebody looked.

`reading.py` is all that is ever said to the API server: get, list and watch. `watching.py` looks for a while and keeps
every change with its time. `happenings.py` makes facts of the changes, `objects.py` manifests of what stood there,
`breaking.py` faults of what broke, and `composing.py` a scenario of all. `comparing.py` runs it and sets the time in
each phase beside what was seen.
"""

from twin.capture.client import CaptureError, reading
from twin.capture.comparison import Compared, compared
from twin.capture.history import happened
from twin.capture.scenario_builder import Capture, compose
from twin.capture.watcher import Seen, watch

__all__ = ["Capture", "CaptureError", "Compared", "Seen", "compared", "compose", "happened", "reading", "watch"]
