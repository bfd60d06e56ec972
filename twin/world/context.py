"""Values that all parts of the simulated cluster share."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import simpy

from twin.apiserver import Store
from twin.apiserver.meta.objects import EPOCH
from twin.kernel.failures import OnFailure, reraise
from twin.kernel.random_streams import Streams


@dataclass(frozen=True, slots=True)
class WorldContext:
    """Time, state and randomness of one simulated cluster.

    Attributes:
        env: simulated time.
        store: the state behind the Kubernetes API.
        streams: the run's random streams.
        epoch: wall time at t = 0.
        on_failure: handles an exception in the processing of an object.
    """

    env: simpy.Environment
    store: Store
    streams: Streams
    epoch: datetime = EPOCH
    on_failure: OnFailure = reraise

    def now(self) -> datetime:
        """Return the present wall time of the cluster."""
        return self.at(self.env.now)

    def at(self, seconds: float) -> datetime:
        """Return the wall time at `seconds` since the start."""
        return self.epoch + timedelta(seconds=seconds)
