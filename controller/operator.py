"""One replica of the operator: leads or stands by, and stops on request. `controller.py` is what it does as leader."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from controller.activator.activator import Activator
from controller.controller import Controller
from controller.dependencies import Dependencies
from controller.metrics.client import InstrumentedClient
from controller.runtime.leaderelection import LEASE_NAME, LeaderElector

Observer = Callable[[str], None]
"""Called with `leading` and `lost`."""


class Operator:
    """One replica."""

    def __init__(self, dependencies: Dependencies, observer: Observer = lambda _: None) -> None:
        client = InstrumentedClient(dependencies.client, dependencies.metrics)
        self.metrics = dependencies.metrics
        self._dependencies = replace(dependencies, client=client)
        self._observer = observer
        self._elector = LeaderElector(
            client, dependencies.clock, dependencies.identity, dependencies.settings, dependencies.log
        )
        self._controller: Controller | None = None
        self._stopping = asyncio.Event()
        self._ended = False

    @property
    def activator(self) -> Activator | None:
        """Holds requests for adapters on demand; None while this replica does not work, or without an address."""
        return self._controller.activator if self._controller is not None else None

    async def run(self) -> None:
        """Run until stopped or cancelled; with leader election, act only while this replica holds the lease."""
        try:
            if self._dependencies.settings.elect:
                await self._elector.lead(self._lead, self._stopping)
            else:
                await self._lead()
        finally:
            self._ended = True

    def stop(self) -> None:
        """Make `run` return: it takes no more work, lets requests in flight end, and releases the lease."""
        self._stopping.set()

    def liveness_error(self) -> str:
        """Return why this process should be restarted; empty if it should not."""
        if self._ended:
            return "the operator has ended"
        return "leads although its lease has expired" if self._elector.overdue() else ""

    def readiness_error(self) -> str:
        """Return what it waits for; empty if it works, or stands by while another replica leads."""
        return self.liveness_error() or ("" if self._controller is None else self._controller.readiness_error())

    async def _lead(self) -> None:
        """Run a controller, which starts with empty memory: everything that matters is stored on the objects."""
        self._observer("leading")
        self.metrics.set_leader(LEASE_NAME, True)
        self._controller = Controller(self._dependencies)
        try:
            await self._controller.run(self._stopping)
        finally:
            self._controller = None
            self.metrics.set_leader(LEASE_NAME, False)
            self._observer("lost")
