"""Leader election on a Lease, so that of several replicas one acts at a time (as client-go's leaderelection).

A replica acts until the lease that it renewed last runs out on its own clock, counted from when it *sent* the
renewal; others wait for the full duration after they *saw* the last renewal. So clocks need not agree: the times in
the Lease are for people. One that stops on purpose gives the lease back, and the next need not wait.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from datetime import datetime

from structlog.typing import FilteringBoundLogger

from controller.api.types import LEASES, Lease, LeaseSpec, ObjectMeta
from controller.client.interface import AlreadyExists, Client, ClientError, NotFound
from controller.clock import Clock
from controller.settings import Settings
from formats.timestamps import format_micro_time

LEASE_NAME = "lora-controller"


class LeaderElector:
    """One replica's part in it."""

    def __init__(
        self, cluster: Client, clock: Clock, identity: str, settings: Settings, log: FilteringBoundLogger
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._identity = identity
        self._settings = settings
        self._log = log
        self._seen: tuple[str, float] = ("", 0.0)
        self._until: float | None = None

    def overdue(self) -> bool:
        """Whether it still leads although the lease has run out: then this process hangs and should be ended."""
        expired = self._settings.lease.duration
        return self._until is not None and asyncio.get_running_loop().time() > self._until + expired

    async def lead(self, work: Callable[[], Awaitable[None]], stopping: asyncio.Event) -> None:
        """Waits for the lease, runs `work` while it holds, cancels it when the lease can't be kept, and starts anew.

        `work` ends by itself when `stopping` is set; then the lease is given back.
        """
        while not stopping.is_set():
            if not await self._acquire(stopping):
                return
            self._log.info("leading", identity=self._identity)
            task = asyncio.ensure_future(work())
            try:
                await self._keep(task)
            finally:
                held, self._until = self._until, None
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            if not task.cancelled() and (failed := task.exception()) is not None:
                raise failed
            if stopping.is_set() and held is not None:
                await self._release(held)
            else:
                self._log.warning("lost the lease", identity=self._identity)

    async def _acquire(self, stopping: asyncio.Event) -> bool:
        while not stopping.is_set():
            try:
                async with asyncio.timeout(self._patience):
                    self._until = await self._try(self._clock.now())
            except (ClientError, TimeoutError) as error:
                self._log.debug("no lease", error=str(error), error_class=type(error).__name__)
            if self._until is not None:
                return True
            await _first(stopping, self._settings.lease.retry)
        return False

    async def _keep(self, task: asyncio.Future[None]) -> None:
        """Renews until the work ends, or the lease is lost: `_until` is None then."""
        loop = asyncio.get_running_loop()
        while not task.done():
            await asyncio.wait({task}, timeout=self._settings.lease.retry)
            if task.done():
                return
            assert self._until is not None
            try:
                async with asyncio.timeout(max(min(self._until - loop.time(), self._patience), 0.0)):
                    renewed = await self._try(self._clock.now())
            except (ClientError, TimeoutError):
                renewed = self._until if loop.time() < self._until else None
            self._until = renewed
            if renewed is None:
                return

    async def _release(self, until: float) -> None:
        """Gives the lease back, as long as it is still held; a second of lease is what client-go leaves, too."""
        loop = asyncio.get_running_loop()
        moment = format_micro_time(self._clock.now())
        body = {"spec": {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": moment, "acquireTime": moment}}
        try:
            async with asyncio.timeout(max(min(until - loop.time(), self._settings.lease.retry), 0.0)):
                await self._cluster.patch(
                    LEASES, self._settings.namespace, LEASE_NAME, body, resource_version=self._seen[0]
                )
        except (ClientError, TimeoutError) as error:
            self._log.warning("lease not given back", error=str(error), error_class=type(error).__name__)
        else:
            self._log.info("lease given back", identity=self._identity)

    async def _try(self, now: datetime) -> float | None:
        """Takes or renews the lease; returns the loop time until which it allows to act, None if another has it."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        settings = self._settings
        try:
            lease = await self._cluster.get(LEASES, settings.namespace, LEASE_NAME)
        except NotFound:
            return started + settings.lease.renew if await self._create(now) else None
        spec = lease.spec
        self._see(lease)
        held = spec.holder_identity not in ("", self._identity)
        if held and loop.time() < self._seen[1] + spec.lease_duration_seconds:
            return None
        moment = format_micro_time(now)
        body: dict[str, object] = {"renewTime": moment, "leaseDurationSeconds": self._duration}
        if spec.holder_identity != self._identity:
            body |= {
                "holderIdentity": self._identity,
                "acquireTime": moment,
                "leaseTransitions": spec.lease_transitions + 1,
            }
        version = lease.metadata.resource_version
        self._see(
            await self._cluster.patch(LEASES, settings.namespace, LEASE_NAME, {"spec": body}, resource_version=version)
        )
        return started + settings.lease.renew

    async def _create(self, now: datetime) -> bool:
        moment = format_micro_time(now)
        spec = LeaseSpec(
            holder_identity=self._identity,
            lease_duration_seconds=self._duration,
            acquire_time=moment,
            renew_time=moment,
        )
        meta = ObjectMeta(name=LEASE_NAME, namespace=self._settings.namespace)
        try:
            self._see(await self._cluster.create(LEASES, Lease(metadata=meta, spec=spec)))
        except AlreadyExists:
            return False
        return True

    def _see(self, lease: Lease) -> None:
        """Remembers when this version of the lease was seen first: from then on others' leases are counted."""
        if self._seen[0] != lease.metadata.resource_version:
            self._seen = (lease.metadata.resource_version, asyncio.get_running_loop().time())

    @property
    def _patience(self) -> float:
        """Seconds for one try: a request that hangs must leave time for another (as controller-runtime has it)."""
        return self._settings.lease.renew / 2

    @property
    def _duration(self) -> int:
        """Whole seconds, as the Lease has them; never less than this replica means to act."""
        return max(math.ceil(self._settings.lease.duration), 1)


async def _first(event: asyncio.Event, seconds: float) -> None:
    """Waits for the event, at most so long."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
