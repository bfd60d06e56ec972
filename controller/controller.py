"""The operator's work from taking the lead to losing it: informers feed a workqueue, workers reconcile.

A term begins with empty memory: what matters is on the objects. It ends in one of two ways. Cancelled (the lease is
lost), it drops everything at once. Asked to stop, it takes no more work, gives what is under way a while to end, and
abandons the rest: an announced load is found again by whoever leads next.
"""

import asyncio
from collections import Counter
from random import Random

from structlog.typing import FilteringBoundLogger

from controller.api.types import ModelAdapter
from controller.cache.cache import Cache
from controller.cache.pod_view import PodView
from controller.cache.routing import route_name
from controller.cache.secret_watcher import SecretWatcher
from controller.cache.secrets import SecretCache
from controller.client.interface import Client, ClientError, Conflict, NotFound
from controller.clock import Clock
from controller.engine.client import EngineClient
from controller.metrics.instruments import AdapterCounts, Metrics
from controller.policies import Policies
from controller.reconcile.reconciler import Reconciler, Result
from controller.requests.audit import EngineAuditor
from controller.requests.load_monitor import LoadMonitor
from controller.requests.outcomes import RequestOutcome
from controller.requests.tracker import RequestTracker
from controller.runtime.recorder import EventRecorder
from controller.runtime.workqueue import WorkQueue
from controller.settings import Settings


class Controller:
    """Everything that lives as long as the lead."""

    def __init__(
        self,
        cluster: Client,
        client: EngineClient,
        clock: Clock,
        rng: Random,
        settings: Settings,
        identity: str,
        log: FilteringBoundLogger,
        metrics: Metrics,
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._log = log
        self._metrics = metrics
        self._queue = WorkQueue(metrics.queue)
        self._caches = Cache(cluster, log, self._queue.add, resync=settings.sync_period)
        self._events = EventRecorder(cluster, clock, identity, log, metrics.count_event)
        self._policies = Policies(settings.policy, settings.policies)
        self._loads = LoadMonitor(client, self._caches, self._policies, settings)
        credentials = SecretCache(cluster, clock)
        self._operations = RequestTracker(client, clock, settings, credentials, self._queue.add)
        self._operations.on_finished = self._request_finished
        self._reconciler = Reconciler(
            cluster,
            self._caches,
            self._operations,
            credentials,
            self._events,
            clock,
            rng,
            settings,
            self._policies,
            self._loads,
        )
        self._audits = EngineAuditor(self._caches, self._operations, settings.audit_interval, self._queue.add)
        self._secrets = SecretWatcher(cluster, credentials, self._queue.add, log)
        self._newcomers: set[str] = set()
        self._workers: list[asyncio.Task[None]] = []
        self._stopping = False

    def readiness_error(self) -> str:
        """What it still waits for; empty if it works."""
        missing = [informer.kind for informer in self._caches.informers() if not informer.is_synced]
        return f"waiting for the first list of {', '.join(missing)}" if missing else ""

    async def run(self, stopping: asyncio.Event) -> None:
        """Works until cancelled, or until `stopping` is set and what is under way has ended or been abandoned."""
        work = asyncio.ensure_future(self._work())
        asked = asyncio.ensure_future(stopping.wait())
        try:
            await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await self._wind_up()
        finally:
            asked.cancel()
            work.cancel()
            await asyncio.gather(work, asked, return_exceptions=True)
        if not work.cancelled() and (failed := work.exception()) is not None:
            raise failed

    async def _work(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                self._caches.on_pod = lambda old, new: self._pod_changed(old, new, tasks)
                self._caches.adapters.on_change(self._adapter_changed)
                self._reconciler.follow = lambda key, places: self._secrets.want(key, places, tasks)
                for informer in self._caches.informers():
                    tasks.create_task(informer.run(), name=f"informer {informer.kind}")
                    await informer.wait_for_sync()
                self._metrics.bind(self._queue, self._settings.max_concurrent_reconciles, self._census)
                tasks.create_task(self._events.run(), name="events")
                tasks.create_task(self._loads.run(), name="engine metrics")
                for number in range(self._settings.max_concurrent_reconciles):
                    self._workers.append(tasks.create_task(self._worker(), name=f"worker {number}"))
        finally:
            self._queue.shut_down()
            self._operations.cancel()
            await self._operations.wait_idle()

    async def _wind_up(self) -> None:
        """Stop taking work, then wait for reconciles, requests and events, all within `graceful_shutdown_timeout`."""
        self._stopping = True
        self._queue.shut_down()
        try:
            async with asyncio.timeout(self._settings.graceful_shutdown_timeout):
                await asyncio.gather(*map(_ended, self._workers))
                await self._operations.wait_idle()
                await self._events.written()
        except TimeoutError:
            self._log.warning("stopping with work under way", requests=self._operations.in_flight)

    async def _worker(self) -> None:
        while (key := await self._queue.get()) is not None:
            try:
                if not self._stopping:
                    await self._once(key)
            finally:
                self._operations.reconcile_finished(key)
                self._queue.done(key)

    async def _once(self, key: str) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        outcome, useful = "error", False
        try:
            result = await self._reconciler.reconcile(key)
            outcome, useful = ("requeue_after" if result.wake else "success"), result.useful
            self._succeeded(key, result)
        except (Conflict, NotFound):
            self._queue.add_rate_limited(key)
        except ClientError as error:
            self._log.warning(
                "reconcile failed",
                adapter=key,
                error=str(error),
                error_class=type(error).__name__,
                attempt=self._queue.failures(key) + 1,
            )
            self._queue.add_rate_limited(key, error.retry_after or 0.0)
        self._metrics.observe_reconcile(outcome, loop.time() - started, with_actions=useful)

    def _succeeded(self, key: str, result: Result) -> None:
        self._queue.forget(key)
        if result.wake:
            self._queue.add_after(key, result.wake - self._clock.now().timestamp())

    # -- what changes

    def _pod_changed(self, old: PodView | None, new: PodView | None, tasks: asyncio.TaskGroup) -> None:
        self._audits.pod_changed(old, new, tasks)
        if new is None and old is not None:
            self._operations.forget_pod(old)
            self._loads.forget_pod(old)

    def _adapter_changed(self, old: ModelAdapter | None, new: ModelAdapter | None) -> None:
        """Times newcomers; what ran before this term began is not known, so others are not timed."""
        if new is None:
            assert old is not None
            self._newcomers.discard(old.metadata.uid)
            return
        meta = new.metadata
        if not new.status.phase:
            self._newcomers.add(meta.uid)
        elif new.status.phase == "Running" and meta.uid in self._newcomers:
            self._newcomers.discard(meta.uid)
            if meta.creation_timestamp is not None:
                self._metrics.observe_time_to_running((self._clock.now() - meta.creation_timestamp).total_seconds())

    def _census(self) -> AdapterCounts:
        adapters = list(self._caches.adapters)
        wanted = sum(_wanted(adapter) for adapter in adapters)
        ready = sum(adapter.status.ready_replicas for adapter in adapters)
        return AdapterCounts(Counter(adapter.status.phase or "Pending" for adapter in adapters), wanted, ready)

    # -- what users are told

    def _request_finished(self, key: str, pod: PodView, outcome: RequestOutcome) -> None:
        """How a load or unload ended."""
        adapter = self._caches.adapters.get(key)
        attempt = self._caches.persisted(adapter).attempt(pod.name) if adapter is not None else None
        attempts = attempt.retries + 1 if attempt is not None else outcome.failures
        self._count(outcome)
        self._report(key, pod, outcome, attempts)
        if adapter is None:
            return
        error, tell = outcome.error, self._events.event
        match outcome.verb:
            case "load" if error is None:
                tell(adapter, "Normal", "Loaded", f"Successfully loaded adapter on pod {pod.name}")
            case "unload" if error is None:
                tell(adapter, "Normal", "Unloaded", f"Unloaded adapter from pod {pod.name}")
            case "load" if error is not None and not error.retriable:
                tell(adapter, "Warning", "LoadFailed", f"Loading on pod {pod.name} failed: {error.message}")
            case "load" if error is not None and attempt is not None and self._settings.backoff.exhausted(attempts):
                tell(
                    adapter,
                    "Warning",
                    "MaxRetriesExceeded",
                    f"Max retries exceeded for pod {pod.name}: {error.message}",
                )

    def _count(self, outcome: RequestOutcome) -> None:
        if outcome.verb != "load":
            return
        if outcome.error is None:
            self._metrics.observe_load("succeeded")
        else:
            self._metrics.observe_load("failed_retriable" if outcome.error.retriable else "failed_final")

    def _report(self, key: str, pod: PodView, outcome: RequestOutcome, attempts: int) -> None:
        error = outcome.error
        line = self._log.bind(adapter=key, pod=pod.name, attempt=attempts, way=route_name(pod, self._settings))
        if error is None:
            line.info(f"{outcome.verb} ended")
        elif error.retriable:
            line.info(f"{outcome.verb} failed", error=error.message, error_class=error.reason)
        else:
            line.warning(f"{outcome.verb} failed for good", error=error.message, error_class=error.reason)


def _wanted(adapter: ModelAdapter) -> int:
    """Replicas that the spec asks for; for every matching pod, as many as were there when it was looked at last."""
    replicas = adapter.spec.replicas
    return adapter.status.desired_replicas if replicas is None else replicas


async def _ended(task: asyncio.Task[None]) -> None:
    """Waits for a task without taking over its failure, or passing on a cancellation."""
    await asyncio.wait({task})
