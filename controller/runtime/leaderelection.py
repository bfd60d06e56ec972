"""Leader election on a Lease, so that only one of several replicas acts (as client-go's leaderelection).

A leader acts until its last renewal expires, counted on its own clock from when it *sent* the renewal; other replicas
wait for the full duration after they *observed* the last renewal. So clocks need not agree: the times in the Lease are
informational. A leader that stops releases the lease, and the next one need not wait.

Every time limit is that of one request, and a renewal is one request: an API server that takes up to half of the renew
deadline for each can still be led against.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from structlog.typing import FilteringBoundLogger

from controller.api.types import LEASES, Lease, LeaseSpec, ObjectMeta
from controller.client.interface import AlreadyExists, Client, ClientError, Conflict, NotFound
from controller.clock import Clock
from controller.settings import Settings
from formats.timestamps import format_micro_time

T = TypeVar("T")

LEASE_NAME = "lora-controller"


class LeaderElector:
    """Elector of one replica."""

    def __init__(
        self, client: Client, clock: Clock, identity: str, settings: Settings, log: FilteringBoundLogger
    ) -> None:
        self._client = client
        self._clock = clock
        self._identity = identity
        self._settings = settings
        self._log = log
        self._observed: tuple[str, float] = ("", 0.0)
        """Version of the lease, and the loop time at which it was observed first."""
        self._holder = ""
        """Other replica that was logged as the leader."""
        self._until: float | None = None
        """Loop time until which this replica may act; None if it does not lead."""

    def overdue(self) -> bool:
        """Return whether it still leads although its lease has expired: this process hangs and should be restarted."""
        expired = self._settings.lease.duration
        return self._until is not None and asyncio.get_running_loop().time() > self._until + expired

    async def lead(self, work: Callable[[], Awaitable[None]], stopping: asyncio.Event) -> None:
        """Acquire the lease, run `work` while it is held, cancel it when renewal fails, and repeat.

        `work` returns when `stopping` is set; then the lease is released.
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
                self._until = await self._try()
            except TimeoutError:
                hint = "the API server is too slow to lead against: raise --leader-elect-renew-deadline"
                self._log.warning("lease request timed out", timeout_seconds=self._timeout, hint=hint)
            except ClientError as error:
                self._log.debug("no lease", error=str(error), error_class=type(error).__name__)
            if self._until is not None:
                return True
            await _wait(stopping, self._settings.lease.retry)
        return False

    async def _keep(self, task: asyncio.Future[None]) -> None:
        """Renew until the work ends, or the lease is lost (`_until` is None)."""
        loop, lease = asyncio.get_running_loop(), self._settings.lease
        retry_at = 0.0
        while not task.done():
            assert self._until is not None
            # The period counts from when the last renewal was sent, so that a slow API server does not lengthen it.
            due = min(max(self._until - lease.renew + lease.retry, retry_at), self._until)
            await asyncio.wait({task}, timeout=max(due - loop.time(), 0.0))
            if task.done():
                return
            try:
                async with asyncio.timeout(max(self._until - loop.time(), 0.0)):
                    renewed = await self._renew()
            except (ClientError, TimeoutError):
                renewed = self._until if loop.time() < self._until else None
                retry_at = loop.time() + lease.retry
            self._until = renewed
            if renewed is None:
                return

    async def _release(self, until: float) -> None:
        """Release the lease if it is still held; as in client-go, its duration becomes one second."""
        loop = asyncio.get_running_loop()
        now = format_micro_time(self._clock.now())
        body = {"spec": {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": now, "acquireTime": now}}
        try:
            async with asyncio.timeout(max(until - loop.time(), 0.0)):
                await self._patch(body, self._observed[0])
        except (ClientError, TimeoutError) as error:
            self._log.warning("lease not released", error=str(error), error_class=type(error).__name__)
        else:
            self._log.info("lease released", identity=self._identity)

    async def _renew(self) -> float | None:
        """Renew the lease that this replica holds; as in client-go, it is read only if another client has written it.

        Returns: the loop time until which it is valid, None if another replica has it.
        """
        sent = asyncio.get_running_loop().time()
        try:
            self._observe(await self._patch({"spec": self._renewal()}, self._observed[0]))
        except (Conflict, NotFound):
            return await self._try()
        return sent + self._settings.lease.renew

    async def _try(self) -> float | None:
        """Acquire or renew the lease; return the loop time until which it is valid, None if another has it."""
        loop = asyncio.get_running_loop()
        try:
            lease = await self._within_timeout(self._client.get(LEASES, self._settings.namespace, LEASE_NAME))
        except NotFound:
            sent = loop.time()
            return sent + self._settings.lease.renew if await self._create() else None
        spec = lease.spec
        self._observe(lease)
        held = spec.holder_identity not in ("", self._identity)
        if held and loop.time() < self._observed[1] + spec.lease_duration_seconds:
            self._log_holder(spec.holder_identity)
            return None
        sent, body = loop.time(), self._renewal()
        if spec.holder_identity != self._identity:
            body |= {
                "holderIdentity": self._identity,
                "acquireTime": body["renewTime"],
                "leaseTransitions": spec.lease_transitions + 1,
            }
        self._observe(await self._patch({"spec": body}, lease.metadata.resource_version))
        self._holder = ""
        return sent + self._settings.lease.renew

    def _log_holder(self, holder: str) -> None:
        """Log which other replica leads, once until this one does."""
        if holder != self._holder:
            lease = f"{self._settings.namespace}/{LEASE_NAME}"
            self._log.info("waiting for the lease", lease=lease, holder=holder)
        self._holder = holder

    async def _create(self) -> bool:
        renewed_at = format_micro_time(self._clock.now())
        spec = LeaseSpec(
            holder_identity=self._identity,
            lease_duration_seconds=self._duration,
            acquire_time=renewed_at,
            renew_time=renewed_at,
        )
        meta = ObjectMeta(name=LEASE_NAME, namespace=self._settings.namespace)
        try:
            self._observe(await self._within_timeout(self._client.create(LEASES, Lease(metadata=meta, spec=spec))))
        except AlreadyExists:
            return False
        return True

    def _renewal(self) -> dict[str, object]:
        """Return the part of the spec that each renewal writes."""
        return {"renewTime": format_micro_time(self._clock.now()), "leaseDurationSeconds": self._duration}

    async def _patch(self, body: Mapping[str, object], version: str) -> Lease:
        patch = self._client.patch(LEASES, self._settings.namespace, LEASE_NAME, body, resource_version=version)
        return await self._within_timeout(patch)

    async def _within_timeout(self, request: Awaitable[T]) -> T:
        """Return the response to one request.

        Raises:
            TimeoutError: it did not come in time for another request to follow before the renew deadline.
        """
        async with asyncio.timeout(self._timeout):
            return await request

    def _observe(self, lease: Lease) -> None:
        """Record when this version of the lease was observed first: another replica's lease expires from then."""
        if self._observed[0] != lease.metadata.resource_version:
            self._observed = (lease.metadata.resource_version, asyncio.get_running_loop().time())

    @property
    def _timeout(self) -> float:
        """Timeout of one request in seconds: it leaves time for another one, as in controller-runtime."""
        return self._settings.lease.renew / 2

    @property
    def _duration(self) -> int:
        """Duration in whole seconds, as in the Lease; rounded up."""
        return max(math.ceil(self._settings.lease.duration), 1)


async def _wait(event: asyncio.Event, timeout: float) -> None:
    """Wait for the event, at most `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            await event.wait()
    except TimeoutError:
        pass
