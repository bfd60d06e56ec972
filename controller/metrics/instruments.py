"""Prometheus instruments of the operator; `docs/metrics.md` lists them.

Names are those of controller-runtime and client-go where they have one, so that existing dashboards work; all others
begin with `lora_controller_`. Durations are arguments: no clock is read here. Gauges of adapters and replicas are
computed from the cache at each scrape.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily

from controller.runtime.workqueue import WorkQueue

CONTROLLER = "modeladapter"
"""The label `controller` (and `name` of the queue)."""
PREFIX = "lora_controller_"

_RECONCILE_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1, 2, 5, 10, 30, 60)
"""Range of controller-runtime's buckets, in fewer steps."""
_QUEUE_SECONDS = tuple(10.0**n for n in range(-8, 4))
"""Buckets of client-go."""
_ENGINE_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300)
_RUNNING_SECONDS = (1, 2, 3, 5, 10, 15, 20, 30, 60, 120, 300, 600, 1800, 3600)

PHASES = ("Pending", "Idle", "Scheduled", "Loading", "Bound", "Running", "Failed")

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, and a read of the system clock


@dataclass(frozen=True, slots=True)
class AdapterValues:
    """Values of one adapter."""

    namespace: str
    name: str
    desired: int
    ready: int
    requests: float | None = None
    """Estimated requests in flight; None if they are not measured."""


@dataclass(frozen=True, slots=True)
class AdapterCounts:
    """Adapters and replicas at the time of a scrape."""

    phases: Mapping[str, int] = field(default_factory=dict)
    desired: int = 0
    ready: int = 0
    adapters: Sequence[AdapterValues] = ()
    """Those with series of their own."""
    omitted: int = 0
    """Adapters without series of their own, since there are too many."""


class Metrics:
    """Instruments of one operator process, in their own registry."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry(auto_describe=True)
        self._reconciles = _Reconciles(registry)
        self.queue = QueueMetrics(registry)
        self._leads = Gauge(
            "leader_election_master_status", "1 if this replica is the leader, else 0.", ["name"], registry=registry
        )
        self._api = Counter(
            "rest_client_requests", "Requests to the API server.", ["code", "method"], registry=registry
        )
        loads = Counter(f"{PREFIX}loads", "Loads by outcome.", ["outcome"], registry=registry)
        self._loads = {name: loads.labels(name) for name in OUTCOMES}
        self._to_running = Histogram(
            f"{PREFIX}time_to_running_seconds",
            "Time from the creation of a ModelAdapter to its first Running.",
            buckets=_RUNNING_SECONDS,
            registry=registry,
        )
        self._engines = _Engines(registry)
        self._events = Counter(
            f"{PREFIX}events",
            "Kubernetes events recorded, including repeated ones.",
            ["type", "reason"],
            registry=registry,
        )
        self._held = Gauge(
            f"{PREFIX}activator_held_requests", "Requests that wait for an adapter on demand.", registry=registry
        )
        self._counts: Callable[[], AdapterCounts] = AdapterCounts
        registry.register(_Adapters(lambda: self._counts()))

    # -- recording

    def bind(self, queue: WorkQueue, workers: int, counts: Callable[[], AdapterCounts]) -> None:
        """Bind the gauges to this queue and these adapters."""
        self._reconciles.bind(queue, workers)
        self.queue.bind(queue)
        self._counts = counts

    def set_leader(self, name: str, is_leader: bool) -> None:
        """Record whether this replica is the leader."""
        self._leads.labels(name).set(int(is_leader))

    def observe_reconcile(self, result: str, seconds: float, *, with_actions: bool) -> None:
        """Record a finished reconcile; `result` is one of `RESULTS`."""
        self._reconciles.observe(result, seconds, with_actions=with_actions)

    def observe_load(self, outcome: str) -> None:
        """Record a finished load; `outcome` is one of `OUTCOMES`."""
        self._loads[outcome].inc()

    def observe_time_to_running(self, seconds: float) -> None:
        """Record the time from the creation of an adapter to its first Running."""
        self._to_running.observe(seconds)

    def observe_engine_request(self, verb: str, code: str, seconds: float) -> None:
        """Record a request to an engine; `code` is the status, or the kind of error if there was no response."""
        self._engines.observe(verb, code, seconds)

    def observe_api_request(self, method: str, code: str) -> None:
        """Record a request to the API server; `code` is `<error>` if there was no response, as in client-go."""
        self._api.labels(code, method).inc()

    def count_event(self, type_: str, reason: str) -> None:
        """Record a Kubernetes event."""
        self._events.labels(type_, reason).inc()

    def count_held(self, n: int) -> None:
        """Add `n` to the number of requests that the activator holds."""
        self._held.inc(n)

    # -- reading

    def total(self, name: str) -> float:
        """Return the sum of a counter over all its labels, by its exposed name."""
        families = self.registry.restricted_registry([name]).collect()
        return sum(sample.value for family in families for sample in family.samples if sample.name == name)


RESULTS = ("success", "error", "requeue_after")
OUTCOMES = ("succeeded", "failed_retriable", "failed_final")


class _Reconciles:
    """controller-runtime's metrics of a controller, and reconciles with actions."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ["controller"]
        results = Counter(
            "controller_runtime_reconcile", "Reconciles by result.", [*labels, "result"], registry=registry
        )
        self._results = {name: results.labels(CONTROLLER, name) for name in RESULTS}
        self._errors = Counter(
            "controller_runtime_reconcile_errors", "Reconciles that failed with an error.", labels, registry=registry
        ).labels(CONTROLLER)
        self._seconds = Histogram(
            "controller_runtime_reconcile_time_seconds",
            "Duration of one reconcile.",
            labels,
            buckets=_RECONCILE_SECONDS,
            registry=registry,
        ).labels(CONTROLLER)
        self._workers = Gauge(
            "controller_runtime_max_concurrent_reconciles", "Maximum concurrent reconciles.", labels, registry=registry
        ).labels(CONTROLLER)
        self._active = Gauge(
            "controller_runtime_active_workers", "Workers that are reconciling.", labels, registry=registry
        ).labels(CONTROLLER)
        self._useful = Counter(
            f"{PREFIX}reconciles_with_actions",
            "Reconciles with at least one action.",
            registry=registry,
        )

    def bind(self, queue: WorkQueue, workers: int) -> None:
        """Bind the gauges to the workers of this queue."""
        self._workers.set(workers)
        self._active.set_function(lambda: queue.active)

    def observe(self, result: str, seconds: float, *, with_actions: bool) -> None:
        self._results[result].inc()
        self._seconds.observe(seconds)
        if result == "error":
            self._errors.inc()
        if with_actions:
            self._useful.inc()


class _Engines:
    """Metrics of requests to engines."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            f"{PREFIX}engine_requests",
            "Requests to engines; code is the HTTP status, or the kind of error without a response.",
            ["verb", "code"],
            registry=registry,
        )
        self._seconds = Histogram(
            f"{PREFIX}engine_request_seconds",
            "Duration of requests to engines.",
            ["verb"],
            buckets=_ENGINE_SECONDS,
            registry=registry,
        )
        self._children: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        """By verb and code; looking them up by label costs more than counting."""

    def observe(self, verb: str, code: str, seconds: float) -> None:
        children = self._children.get((verb, code))
        if children is None:
            children = self._children[verb, code] = (self._requests.labels(verb, code), self._seconds.labels(verb))
        count, duration = children
        count.inc()
        duration.observe(seconds)


class QueueMetrics:
    """client-go's metrics of a workqueue; a `QueueMetricsProvider`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        names, labels = ["name", "controller"], (CONTROLLER, CONTROLLER)
        self._adds = Counter("workqueue_adds", "Keys added to the queue.", names, registry=registry).labels(*labels)
        self._retries = Counter(
            "workqueue_retries", "Keys added again after a failure.", names, registry=registry
        ).labels(*labels)
        self._depth = Gauge("workqueue_depth", "Keys in the queue.", names, registry=registry).labels(*labels)
        self._waits = Histogram(
            "workqueue_queue_duration_seconds",
            "Time that keys waited in the queue.",
            names,
            buckets=_QUEUE_SECONDS,
            registry=registry,
        ).labels(*labels)
        self._works = Histogram(
            "workqueue_work_duration_seconds",
            "Time that keys were processed.",
            names,
            buckets=_QUEUE_SECONDS,
            registry=registry,
        ).labels(*labels)
        self._unfinished = Gauge(
            "workqueue_unfinished_work_seconds", "Seconds of work in progress.", names, registry=registry
        ).labels(*labels)
        self._longest = Gauge(
            "workqueue_longest_running_processor_seconds",
            "Seconds that the longest work in progress has taken.",
            names,
            registry=registry,
        ).labels(*labels)

    def bind(self, queue: WorkQueue) -> None:
        """Bind the gauges to this queue."""
        self._depth.set_function(lambda: len(queue))
        self._unfinished.set_function(lambda: queue.unfinished()[0])
        self._longest.set_function(lambda: queue.unfinished()[1])

    def added(self) -> None:
        self._adds.inc()

    def taken(self, waited: float) -> None:
        self._waits.observe(waited)

    def finished(self, worked: float) -> None:
        self._works.observe(worked)

    def retried(self) -> None:
        self._retries.inc()


class _Adapters:
    """Gauges of adapters and replicas, computed at each scrape."""

    def __init__(self, counts: Callable[[], AdapterCounts]) -> None:
        self._counts = counts

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Return the families without values, as registration needs them."""
        return self._families(AdapterCounts())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        return self._families(self._counts())

    def _families(self, counts: AdapterCounts) -> Iterator[GaugeMetricFamily]:
        adapters = GaugeMetricFamily(f"{PREFIX}adapters", "ModelAdapters by phase.", labels=["phase"])
        for phase in PHASES:
            adapters.add_metric([phase], counts.phases.get(phase, 0))
        yield adapters
        yield GaugeMetricFamily(f"{PREFIX}replicas_wanted", "Replicas in the specs.", value=counts.desired)
        yield GaugeMetricFamily(
            f"{PREFIX}replicas_ready", "Replicas that are loaded and published as endpoints.", value=counts.ready
        )
        yield from _single_adapters(counts)


def _single_adapters(counts: AdapterCounts) -> Iterator[GaugeMetricFamily]:
    """Yield the gauges with a series for each adapter."""
    labels, single = ["namespace", "adapter"], f"{PREFIX}adapter_"
    desired = GaugeMetricFamily(f"{single}replicas_desired", "Replicas of one adapter in its spec.", labels=labels)
    ready = GaugeMetricFamily(f"{single}replicas_ready", "Replicas of one adapter that serve.", labels=labels)
    requests = GaugeMetricFamily(
        f"{single}requests_in_flight", "Estimated requests in flight of one adapter with autoscaling.", labels=labels
    )
    for adapter in counts.adapters:
        names = [adapter.namespace, adapter.name]
        desired.add_metric(names, adapter.desired)
        ready.add_metric(names, adapter.ready)
        if adapter.requests is not None:
            requests.add_metric(names, adapter.requests)
    yield from (desired, ready, requests)
    yield GaugeMetricFamily(
        f"{PREFIX}adapters_without_series",
        "Adapters that have no series of their own, since there are too many.",
        value=counts.omitted,
    )
