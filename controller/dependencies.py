"""Injected dependencies of the operator: the same code runs on a live cluster and in the twin."""

from dataclasses import dataclass, field
from random import Random

import httpx
from structlog.typing import FilteringBoundLogger

from controller.client.interface import Client
from controller.clock import Clock
from controller.metrics.instruments import Metrics
from controller.settings import Settings
from controller.tracing.interface import NO_TRACES, Tracer


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependencies:
    """Dependencies of one replica of the operator."""

    client: Client
    transport: httpx.AsyncBaseTransport
    """For requests to engines."""
    clock: Clock
    rng: Random
    settings: Settings
    identity: str
    """Name of the replica, unique among all replicas."""
    log: FilteringBoundLogger
    metrics: Metrics = field(default_factory=Metrics)
    """May be shared with the server that exposes it."""
    tracer: Tracer = NO_TRACES
    isolates_errors: bool = False
    """An error in the operator's own code stops the work for one adapter, which is tried again, and not the operator.

    On a cluster it is True, like `RecoverPanic` of controller-runtime: one unexpected object must not keep all others
    waiting. In the twin it is False: an error has to be seen.
    """
