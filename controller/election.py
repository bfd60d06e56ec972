"""Leader election on a Lease, so that of several replicas one acts at a time (as client-go's leaderelection).

A replica acts until the lease that it renewed last runs out on its own clock, counted from when it *sent* the
renewal; others wait for the full duration after they *saw* the last renewal. So clocks need not agree.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec
from structlog.typing import FilteringBoundLogger

from controller.clock import Clock
from controller.cluster import AlreadyExists, Cluster, ClusterError, NotFound
from controller.resources import LEASES, Lease, LeaseSpec, ObjectMeta, timestamp
from controller.settings import Settings

LEASE_NAME = "lora-controller"


class Election:
    """One replica's part in it."""

    def __init__(
        self, cluster: Cluster, clock: Clock, identity: str, settings: Settings, log: FilteringBoundLogger
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._identity = identity
        self._settings = settings
        self._log = log
        self._seen: tuple[str, float] = ("", 0.0)

    async def lead(self, work: Callable[[], Awaitable[None]]) -> None:
        """Waits for the lease, runs `work` while it holds, cancels it when the lease can't be kept; for ever."""
        while True:
            until = await self._acquire()
            self._log.info("leading", identity=self._identity)
            task = asyncio.ensure_future(work())
            try:
                await self._keep(until, task)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            if not task.cancelled() and (failed := task.exception()) is not None:
                raise failed
            self._log.warning("lost the lease", identity=self._identity)

    async def _acquire(self) -> float:
        while True:
            try:
                until = await self._try(self._clock.now())
            except ClusterError as error:
                self._log.debug("no lease", error=str(error))
                until = None
            if until is not None:
                return until
            await asyncio.sleep(self._settings.lease.retry)

    async def _keep(self, until: float, task: asyncio.Future[None]) -> None:
        """Renews until `until` (loop time) passes without success, or the work ends."""
        loop = asyncio.get_running_loop()
        lease = self._settings.lease
        while not task.done():
            await asyncio.wait({task}, timeout=lease.retry)
            try:
                async with asyncio.timeout(max(until - loop.time(), 0.0)):
                    renewed = await self._try(self._clock.now())
            except (ClusterError, TimeoutError):
                renewed = until if loop.time() < until else None
            if renewed is None:
                return
            until = renewed

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
        if self._seen[0] != lease.metadata.resource_version:
            self._seen = (lease.metadata.resource_version, loop.time())
        held = spec.holder_identity not in ("", self._identity)
        if held and loop.time() < self._seen[1] + spec.lease_duration_seconds:
            return None
        moment = timestamp(now.astimezone(UTC))
        body: dict[str, object] = {"renewTime": moment, "leaseDurationSeconds": int(settings.lease.duration)}
        if spec.holder_identity != self._identity:
            body |= {
                "holderIdentity": self._identity,
                "acquireTime": moment,
                "leaseTransitions": spec.lease_transitions + 1,
            }
        version = lease.metadata.resource_version
        await self._cluster.patch(LEASES, settings.namespace, LEASE_NAME, {"spec": body}, resource_version=version)
        return started + settings.lease.renew

    async def _create(self, now: datetime) -> bool:
        moment = timestamp(now.astimezone(UTC))
        spec = LeaseSpec(
            holder_identity=self._identity,
            lease_duration_seconds=int(self._settings.lease.duration),
            acquire_time=moment,
            renew_time=moment,
        )
        meta = ObjectMeta(name=LEASE_NAME, namespace=self._settings.namespace)
        try:
            await self._cluster.create(LEASES, Lease(metadata=meta, spec=msgspec.structs.replace(spec)))
        except AlreadyExists:
            return False
        return True
