"""Puts the operator together and runs it: informers feed a workqueue, workers reconcile, audits keep it true.

Nothing here differs between a live cluster and the twin: what does is handed in (cluster, transport, clock, random
numbers, log).
"""

import asyncio
from collections.abc import Callable
from random import Random

import httpx
from structlog.typing import FilteringBoundLogger

from controller.caches import Caches
from controller.clock import Clock
from controller.cluster import Cluster, ClusterError, Conflict, NotFound
from controller.credentials import Credentials
from controller.election import Election
from controller.engine import EngineClient
from controller.events import EventRecorder
from controller.observed import Outcome, PodView
from controller.operations import Operations
from controller.reconciler import Reconciler
from controller.settings import Settings
from controller.workqueue import WorkQueue

Observer = Callable[[str], None]
"""Hears a name each time something is to be counted: `reconciles.total`, `reconciles.useful`, `leading`, `lost`."""


class Operator:
    """One replica."""

    def __init__(
        self,
        cluster: Cluster,
        transport: httpx.AsyncBaseTransport,
        clock: Clock,
        rng: Random,
        settings: Settings,
        *,
        identity: str,
        log: FilteringBoundLogger,
        observer: Observer = lambda _: None,
    ) -> None:
        self._cluster = cluster
        self._client = EngineClient(transport)
        self._clock = clock
        self._rng = rng
        self._settings = settings
        self._identity = identity
        self._log = log
        self._observer = observer

    async def run(self) -> None:
        """Acts until cancelled; with election, only while this replica holds the lease."""
        if not self._settings.elect:
            await self._work()
            return
        election = Election(self._cluster, self._clock, self._identity, self._settings, self._log)
        await election.lead(self._lead)

    async def _lead(self) -> None:
        try:
            await self._work()
        finally:
            self._observer("lost")

    async def _work(self) -> None:
        """All of the operator's work, with empty memory: what matters is on the objects."""
        self._observer("leading")
        term = _Term(
            self._cluster,
            self._client,
            self._clock,
            self._rng,
            self._settings,
            self._identity,
            self._log,
            self._observer,
        )
        await term.run()


class _Term:
    """From taking the lead to losing it."""

    def __init__(
        self,
        cluster: Cluster,
        client: EngineClient,
        clock: Clock,
        rng: Random,
        settings: Settings,
        identity: str,
        log: FilteringBoundLogger,
        observer: Observer,
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._log = log
        self._observer = observer
        self._queue = WorkQueue()
        self._caches = Caches(cluster, log, self._queue.add)
        self._events = EventRecorder(cluster, clock, identity, log)
        credentials = Credentials(cluster, clock)
        self._operations = Operations(client, clock, settings, credentials.engine_key, self._queue.add)
        self._operations.on_finished = self._request_finished
        self._reconciler = Reconciler(cluster, self._caches, self._operations, self._events, clock, rng, settings)
        self._audits: dict[str, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._caches.on_pod = self._pod_changed
                for informer in self._caches.informers():
                    self._tasks.create_task(informer.run(), name="informer")
                    await informer.synced()
                self._tasks.create_task(self._events.run(), name="events")
                for number in range(self._settings.workers):
                    self._tasks.create_task(self._worker(), name=f"worker {number}")
        finally:
            self._queue.close()
            self._operations.cancel()
            await self._operations.drained()

    async def _worker(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._once(key)
            finally:
                self._queue.done(key)

    async def _once(self, key: str) -> None:
        try:
            result = await self._reconciler.reconcile(key)
        except (Conflict, NotFound):
            self._observer("reconciles.total")
            self._queue.retry(key)
            return
        except ClusterError as error:
            self._observer("reconciles.total")
            self._log.warning("reconcile failed", adapter=key, error=str(error))
            self._queue.retry(key, error.retry_after or 0.0)
            return
        self._observer("reconciles.total")
        if result.useful:
            self._observer("reconciles.useful")
        self._queue.succeeded(key)
        if result.wake:
            self._queue.add_after(key, result.wake - self._clock.now().timestamp())

    # -- audits: what an engine forgot without a sign, or holds after a lost answer

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        pod = new or old
        assert pod is not None
        audit = self._audits.get(pod.uid)
        if new is None or new.terminating:
            if audit is not None:
                self._audits.pop(pod.uid).cancel()
            if new is None:
                self._operations.forget_pod(pod)
        elif audit is None and new.enabled:
            self._audits[pod.uid] = self._tasks.create_task(
                self._audit(f"{pod.namespace}/{pod.name}"), name=f"audit {pod.name}"
            )

    async def _audit(self, pod_key: str) -> None:
        """Asks one engine every `audit_interval` what it holds, and wakes the adapters that this is news to."""
        namespace, name = pod_key.split("/")
        while True:
            await asyncio.sleep(self._settings.audit_interval)
            pod = self._caches.views(namespace).get(name)
            here = self._caches.occupancy.on(pod_key)
            asking = next((a for key in here if (a := self._caches.adapters.get(key)) is not None), None)
            if pod is None or asking is None or not pod.ip or not pod.engine:
                continue
            changed = await self._operations.audit(asking, pod)
            if changed:
                for key in sorted(self._caches.occupancy.on(pod_key)):
                    if key.split("/")[1] in changed:
                        self._queue.add(key)

    def _request_finished(self, key: str, pod: PodView, outcome: Outcome) -> None:
        """Tells users how a load or unload ended."""
        adapter = self._caches.adapters.get(key)
        if adapter is None:
            return
        error, tell = outcome.error, self._events.tell
        match outcome.verb:
            case "load" if error is None:
                tell(adapter, "Normal", "Loaded", f"Successfully loaded adapter on pod {pod.name}")
            case "unload" if error is None:
                tell(adapter, "Normal", "Unloaded", f"Unloaded adapter from pod {pod.name}")
            case "load" if error is not None and not error.retriable:
                tell(adapter, "Warning", "LoadFailed", f"Loading on pod {pod.name} failed: {error.message}")
            case "load" if error is not None:
                attempt = self._caches.remembered(adapter).attempt(pod.name)
                if attempt is not None and self._settings.backoff.exhausted(attempt.retries + 1):
                    note = f"Max retries exceeded for pod {pod.name}: {error.message}"
                    tell(adapter, "Warning", "MaxRetriesExceeded", note)
