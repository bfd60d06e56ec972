"""One replica of the operator: leads or waits to, serves its metrics, and stops when it is told to.

Nothing here differs between a live cluster and the twin: what does is handed in (cluster, transport, clock, random
numbers, log). What a replica does while it leads is in `term.py`.
"""

import asyncio
from collections.abc import Callable
from random import Random

import httpx
from structlog.typing import FilteringBoundLogger

from controller.client.interface import Client
from controller.clock import Clock
from controller.controller import Controller
from controller.engine.client import EngineClient
from controller.metrics.client import InstrumentedClient
from controller.metrics.instruments import Metrics
from controller.runtime.leaderelection import LEASE_NAME, LeaderElector
from controller.settings import Settings

Observer = Callable[[str], None]
"""Hears `leading` and `lost` at the moment."""


class Operator:
    """One replica. `metrics` may be shared with whoever serves them (`health.probes`)."""

    def __init__(
        self,
        cluster: Client,
        transport: httpx.AsyncBaseTransport,
        clock: Clock,
        rng: Random,
        settings: Settings,
        *,
        identity: str,
        log: FilteringBoundLogger,
        metrics: Metrics | None = None,
        observer: Observer = lambda _: None,
    ) -> None:
        self.metrics = metrics or Metrics()
        self._cluster = InstrumentedClient(cluster, self.metrics)
        self._client = EngineClient(transport, self.metrics.observe_engine_request)
        self._clock = clock
        self._rng = rng
        self._settings = settings
        self._identity = identity
        self._log = log
        self._observer = observer
        self._election = LeaderElector(self._cluster, clock, identity, settings, log)
        self._term: Controller | None = None
        self._stopping = asyncio.Event()
        self._ended = False

    async def run(self) -> None:
        """Acts until it is stopped or cancelled; with election, only while this replica holds the lease."""
        try:
            if self._settings.elect:
                await self._election.lead(self._work, self._stopping)
            else:
                await self._work()
        finally:
            self._ended = True

    def stop(self) -> None:
        """Ask `run` to return soon.

        No more work is taken, requests in flight have `graceful_shutdown_timeout` to end, and the lease is released.
        """
        self._stopping.set()

    def liveness_error(self) -> str:
        """Why this process should be ended and started anew; empty if it should not."""
        if self._ended:
            return "the operator has ended"
        return "leads although its lease has run out" if self._election.overdue() else ""

    def readiness_error(self) -> str:
        """What it waits for; empty if it works, or stands by while another replica leads."""
        return self.liveness_error() or ("" if self._term is None else self._term.readiness_error())

    async def _work(self) -> None:
        """All of the operator's work, with empty memory: what matters is on the objects."""
        self._observer("leading")
        self.metrics.set_leader(LEASE_NAME, True)
        self._term = Controller(
            self._cluster,
            self._client,
            self._clock,
            self._rng,
            self._settings,
            self._identity,
            self._log,
            self.metrics,
        )
        try:
            await self._term.run(self._stopping)
        finally:
            self._term = None
            self.metrics.set_leader(LEASE_NAME, False)
            self._observer("lost")
