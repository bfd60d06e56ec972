"""The work of the leading replica: informers feed a workqueue, workers reconcile.

A controller starts with empty memory, since everything that matters is stored on the objects. It ends in one of two
ways. When it is cancelled (the lease is lost), it drops everything at once. When it is asked to stop, it takes no more
work, gives requests in flight `graceful_shutdown_timeout` to end, and abandons the rest: the next leader finds an
announced load on the object.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from controller.activator.activator import Activator
from controller.activator.wishes import Wishes
from controller.adapter_metrics import AdapterMetrics
from controller.cache.cache import Cache
from controller.cache.other_operators import OtherOperators
from controller.cache.own_writes import Version
from controller.cache.pod_view import PodView
from controller.cache.refusals import RefusedWrites
from controller.cache.secret_watcher import SecretWatcher
from controller.cache.secrets import SecretCache
from controller.client.interface import ClientError, Conflict, Forbidden, Invalid, NotFound
from controller.demand.tracker import DemandTracker
from controller.demand.usage import UsageTracker
from controller.dependencies import Dependencies
from controller.engine.client import EngineClient
from controller.policies import Policies
from controller.rebalance.rebalancer import FleetSources, Rebalancer
from controller.reconcile.dependencies import ReconcilerDependencies
from controller.reconcile.reconciler import Reconciler
from controller.requests.audit import EngineAuditor
from controller.requests.engine_calls import EngineCalls
from controller.requests.load_monitor import Hints, LoadMonitor, Round
from controller.requests.reporter import RequestReporter
from controller.requests.slots import RequestSlots
from controller.requests.tracker import RequestTracker
from controller.runtime.recorder import EventRecorder
from controller.runtime.workqueue import WorkQueue
from controller.tracing.interface import Span

_RESTART = 60.0
"""Seconds after which a part of the operator that ended with an error of its own begins again."""


class Controller:
    """Runs once."""

    def __init__(self, dependencies: Dependencies) -> None:
        client, clock, log = dependencies.client, dependencies.clock, dependencies.log
        settings, metrics = dependencies.settings, dependencies.metrics
        self._dependencies = dependencies
        self._tasks = asyncio.TaskGroup()
        self._workers: list[asyncio.Task[None]] = []
        self._stopping = False
        self._queue = WorkQueue(metrics.queue)
        wake = self._queue.add
        wake_first = partial(self._queue.add, first=True)
        self._cache = Cache(client, log, wake, self._pod_changed, resync=settings.sync_period)
        self._events = EventRecorder(client, clock, dependencies.identity, log, metrics.count_event)
        engines = EngineClient(dependencies.transport, metrics.observe_engine_request, dependencies.tracer)
        policies = Policies(settings.policy, settings.policies)
        secrets = SecretCache(client, clock)
        calls = EngineCalls(engines, secrets, settings, dependencies.tracer)
        self._engine_records = calls.records
        self._slots = RequestSlots(settings.max_requests_per_pod, wake_first)
        reporter = RequestReporter(self._cache, self._events, metrics, log, settings)
        self._tracker = RequestTracker(calls, self._slots, secrets, clock, wake_first, reporter.report)
        self._demand = DemandTracker(self._cache, clock, settings, wake)
        self._adapter_metrics = AdapterMetrics(self._cache, self._demand, clock, metrics)
        self._usage = UsageTracker(self._cache, clock, wake)
        wishes = Wishes(wake_first)
        self._activator = (
            Activator(self._cache, wishes, settings.activator.timeout, metrics.count_held)
            if settings.activator is not None
            else None
        )
        sources = FleetSources(self._cache, policies, calls.records, self._demand)
        self._rebalancer = Rebalancer(sources, clock, settings, wake)
        self._auditor = EngineAuditor(self._cache, calls, settings.audit_interval, wake, self._tasks)
        hints = Hints(restarted=self._restarted, refusing=self._auditor.audit_now)
        self._load_monitor = LoadMonitor(engines, self._cache, policies, settings, hints, self._metrics_read)
        self._reconciler = Reconciler(
            ReconcilerDependencies(
                client=client,
                clock=clock,
                rng=dependencies.rng,
                settings=settings,
                policies=policies,
                cache=self._cache,
                secrets=secrets,
                secret_watcher=SecretWatcher(client, secrets, wake, self._tasks, log),
                publication_errors=RefusedWrites(clock, wake, log),
                scaling_errors=RefusedWrites(clock, wake, log),
                status_errors=RefusedWrites(clock, wake, log),
                adoption_errors=RefusedWrites(clock, wake, log),
                other_operators=OtherOperators(dependencies.identity, settings.namespace, clock),
                engine_records=calls.records,
                slots=self._slots,
                tracker=self._tracker,
                load_monitor=self._load_monitor,
                demand=self._demand,
                usage=self._usage,
                wishes=wishes,
                rebalancer=self._rebalancer,
                events=self._events,
            )
        )

    def readiness_error(self) -> str:
        """Return what it still waits for; empty if it works."""
        missing = [informer.kind for informer in self._cache.informers() if not informer.is_synced]
        return f"waiting for the first list of {', '.join(missing)}" if missing else ""

    @property
    def activator(self) -> Activator | None:
        """Holds requests for adapters on demand; None without an address, and until all adapters are known."""
        return None if self.readiness_error() else self._activator

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until cancelled, or until `stopping` is set and requests in flight have ended or been abandoned."""
        work = asyncio.ensure_future(self._work())
        stop = asyncio.ensure_future(stopping.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await self._drain()
        finally:
            stop.cancel()
            work.cancel()
            await asyncio.gather(work, stop, return_exceptions=True)
        if not work.cancelled() and (error := work.exception()) is not None:
            raise error

    async def _work(self) -> None:
        workers = self._dependencies.settings.max_concurrent_reconciles
        try:
            async with self._tasks as tasks:
                for informer in self._cache.informers():
                    tasks.create_task(informer.run(), name=f"informer {informer.kind}")
                    await informer.wait_for_sync()
                self._dependencies.metrics.bind(self._queue, workers, self._adapter_metrics.counts)
                tasks.create_task(self._events.run(), name="events")
                for part, run in (("engine metrics", self._load_monitor.run), ("rebalancing", self._rebalancer.run)):
                    tasks.create_task(self._keep_running(part, run), name=part)
                for number in range(workers):
                    self._workers.append(tasks.create_task(self._worker(), name=f"worker {number}"))
        finally:
            self._queue.shut_down()
            if self._activator is not None:
                self._activator.close()
            self._tracker.cancel()
            await self._tracker.wait_idle()

    async def _keep_running(self, part: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run a part that no adapter depends on; start it again a minute after an error in its code."""
        while True:
            try:
                return await run()
            except Exception:
                if not self._dependencies.isolates_errors:
                    raise
                self._dependencies.log.error("error in the operator", part=part, exc_info=True)
            await asyncio.sleep(_RESTART)

    async def _drain(self) -> None:
        """Take no more work; wait for reconciles, then requests, then events, within `graceful_shutdown_timeout`."""
        self._stopping = True
        self._queue.shut_down()
        try:
            async with asyncio.timeout(self._dependencies.settings.graceful_shutdown_timeout):
                await asyncio.gather(*map(_wait_for, self._workers))
                await self._tracker.wait_idle()
                await self._events.flush()
        except TimeoutError:
            self._dependencies.log.warning("stopped with requests in flight", requests=self._tracker.in_flight)

    async def _worker(self) -> None:
        while (key := await self._queue.get()) is not None:
            try:
                if not self._stopping:
                    with self._dependencies.tracer.reconcile(key) as span:
                        await self._reconcile_once(key, span)
            finally:
                self._slots.reconcile_finished(key)
                self._queue.done(key)

    async def _reconcile_once(self, key: str, span: Span) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        outcome, with_actions = "error", False
        own_writes, written = self._cache.own_writes, frozenset[Version]()
        own_writes.begin(key)
        try:
            result = await self._reconciler.reconcile(key)
            with_actions, written = result.with_actions, result.written
            outcome = "requeue_after" if result.wake else "success"
            self._queue.forget(key)
            if result.wake:
                self._queue.add_after(key, result.wake - self._dependencies.clock.now().timestamp())
        except (Conflict, NotFound) as error:
            span.fail(type(error).__name__)
            self._queue.add_rate_limited(key)
        except ClientError as error:
            span.fail(type(error).__name__)
            self._retry(key, error)
        except Exception as error:
            span.fail(type(error).__name__)
            if not self._dependencies.isolates_errors:
                raise
            self._report_own_error(key, error)
        finally:
            own_writes.end(key, written)
        span.set("lora_controller.reconcile.result", outcome)
        span.set("lora_controller.reconcile.with_actions", with_actions)
        self._dependencies.metrics.observe_reconcile(outcome, loop.time() - started, with_actions=with_actions)

    def _retry(self, key: str, error: ClientError) -> None:
        """Try again later. A refusal is an event: it may be that of a patch of the adapter itself."""
        self._dependencies.log.warning(
            "reconcile failed",
            adapter=key,
            error=str(error),
            error_class=type(error).__name__,
            attempt=self._queue.failures(key) + 1,
        )
        if isinstance(error, Forbidden | Invalid) and (adapter := self._cache.adapters.get(key)) is not None:
            self._events.event(adapter, "Warning", "FailedUpdate", f"The API server refused a request: {error}")
        self._queue.add_rate_limited(key, error.retry_after or 0.0)

    def _report_own_error(self, key: str, error: Exception) -> None:
        """Tell of an error in the operator's own code, which stops the work for this adapter until the next try."""
        name = type(error).__name__
        self._dependencies.log.error("error in the operator", adapter=key, error_class=name, exc_info=True)
        if (adapter := self._cache.adapters.get(key)) is not None:
            note = f"The operator cannot work on this adapter, because of an error of its own ({name}); see its log"
            self._events.event(adapter, "Warning", "OperatorError", note)
        self._queue.add_rate_limited(key)

    def _metrics_read(self, pages: Round) -> None:
        self._demand.observe(pages)
        self._usage.observe(pages)

    def _restarted(self, pod: PodView) -> None:
        """Ask an engine whose process has restarted what it holds."""
        self._engine_records.mark_doubtful(pod)
        for key in sorted(self._cache.occupancy.on(pod.key)):
            self._queue.add(key)

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        self._auditor.pod_changed(old, new)
        if old is not None and new is not None and new.ready and not old.ready:
            self._engine_records.mark_doubtful(new)  # its process may have restarted in its container
        if new is None and old is not None:
            self._tracker.forget_pod(old)
            self._load_monitor.forget_pod(old)
            self._demand.forget_pod(old)
            self._usage.forget_pod(old)
            self._rebalancer.pod_deleted()


async def _wait_for(task: asyncio.Task[None]) -> None:
    """Wait for a task without raising its error or passing on a cancellation."""
    await asyncio.wait({task})
