"""What the operator counts and times, for Prometheus: `docs/metrics.md` lists it all.

Where controller-runtime or client-go has a name for a thing, that name is used, so that dashboards made for other
operators work with this one; the rest is called `lora_controller_…`. Durations are handed in, no clock is read here.
What can be read off the caches (adapters by phase, replicas) is looked up when somebody scrapes, never kept up.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily

from controller.runtime.workqueue import WorkQueue

CONTROLLER = "modeladapter"
"""The label `controller` (and `name` of the queue)."""
PREFIX = "lora_controller_"

_RECONCILE_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1, 2, 5, 10, 30, 60)
"""controller-runtime's range, in fewer steps."""
_QUEUE_SECONDS = tuple(10.0**n for n in range(-8, 4))
"""client-go's."""
_ENGINE_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300)
_RUNNING_SECONDS = (1, 2, 3, 5, 10, 15, 20, 30, 60, 120, 300, 600, 1800, 3600)

PHASES = ("Pending", "Scheduled", "Loading", "Bound", "Running", "Failed")

disable_created_metrics()  # type: ignore[no-untyped-call]  # each would be a second series, and a read of the machine's clock


@dataclass(frozen=True, slots=True)
class AdapterCounts:
    """The adapters in view, at one moment."""

    phases: Mapping[str, int] = field(default_factory=dict)
    wanted: int = 0
    ready: int = 0


class Metrics:
    """The instruments of one operator process, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry(auto_describe=True)
        self._reconciles = _Reconciles(registry)
        self.queue = QueueMetrics(registry)
        self._leads = Gauge(
            "leader_election_master_status", "1 while this replica leads, else 0.", ["name"], registry=registry
        )
        self._api = Counter(
            "rest_client_requests", "Requests to the API server.", ["code", "method"], registry=registry
        )
        loads = Counter(f"{PREFIX}loads", "Loads that have ended, by outcome.", ["outcome"], registry=registry)
        self._loads = {name: loads.labels(name) for name in OUTCOMES}
        self._to_running = Histogram(
            f"{PREFIX}time_to_running_seconds",
            "From the creation of a ModelAdapter to its first Running.",
            buckets=_RUNNING_SECONDS,
            registry=registry,
        )
        self._engines = _Engines(registry)
        self._told = Counter(
            f"{PREFIX}events", "Events told to users, repeats too.", ["type", "reason"], registry=registry
        )
        self._census: Callable[[], AdapterCounts] = AdapterCounts
        registry.register(_Adapters(lambda: self._census()))

    # -- what is told

    def bind(self, queue: WorkQueue, workers: int, census: Callable[[], AdapterCounts]) -> None:
        """Work begins: from now on the gauges show this queue and these adapters."""
        self._reconciles.show(queue, workers)
        self.queue.show(queue)
        self._census = census

    def set_leader(self, name: str, now: bool) -> None:
        """This replica has taken the lead, or lost it."""
        self._leads.labels(name).set(int(now))

    def observe_reconcile(self, result: str, seconds: float, *, with_actions: bool) -> None:
        """`result` is one of `RESULTS`."""
        self._reconciles.ended(result, seconds, with_actions=with_actions)

    def observe_load(self, outcome: str) -> None:
        """`outcome` is one of `OUTCOMES`."""
        self._loads[outcome].inc()

    def observe_time_to_running(self, seconds: float) -> None:
        """An adapter is Running for the first time, so long after its creation."""
        self._to_running.observe(seconds)

    def observe_engine_request(self, verb: str, code: str, seconds: float) -> None:
        """An engine has answered, or has not; in the latter case `code` says what went wrong."""
        self._engines.asked(verb, code, seconds)

    def observe_api_request(self, method: str, code: str) -> None:
        """The API server has answered, or has not (`code` is `<error>` then, as in client-go)."""
        self._api.labels(code, method).inc()

    def count_event(self, type_: str, reason: str) -> None:
        """Users are told something by an event."""
        self._told.labels(type_, reason).inc()

    # -- what is asked

    def total(self, name: str) -> float:
        """The sum of a counter over all its labels, by the name under which it is exposed."""
        metrics = self.registry.restricted_registry([name]).collect()
        return sum(sample.value for metric in metrics for sample in metric.samples if sample.name == name)


RESULTS = ("success", "error", "requeue_after")
OUTCOMES = ("succeeded", "failed_retriable", "failed_final")


class _Reconciles:
    """controller-runtime's metrics of a controller, and how many reconciles were of use."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ["controller"]
        ended = Counter("controller_runtime_reconcile", "Reconciles by result.", [*labels, "result"], registry=registry)
        self._ended = {name: ended.labels(CONTROLLER, name) for name in RESULTS}
        self._errors = Counter(
            "controller_runtime_reconcile_errors", "Reconciles that failed.", labels, registry=registry
        ).labels(CONTROLLER)
        self._seconds = Histogram(
            "controller_runtime_reconcile_time_seconds",
            "How long one reconcile took.",
            labels,
            buckets=_RECONCILE_SECONDS,
            registry=registry,
        ).labels(CONTROLLER)
        self._workers = Gauge(
            "controller_runtime_max_concurrent_reconciles", "Workers.", labels, registry=registry
        ).labels(CONTROLLER)
        self._active = Gauge(
            "controller_runtime_active_workers", "Workers that reconcile right now.", labels, registry=registry
        ).labels(CONTROLLER)
        self._useful = Counter(
            f"{PREFIX}reconciles_with_actions",
            "Reconciles after which at least one action followed.",
            registry=registry,
        )

    def show(self, queue: WorkQueue, workers: int) -> None:
        """The gauges show the workers of this queue."""
        self._workers.set(workers)
        self._active.set_function(lambda: queue.active)

    def ended(self, result: str, seconds: float, *, with_actions: bool) -> None:
        self._ended[result].inc()
        self._seconds.observe(seconds)
        if result == "error":
            self._errors.inc()
        if with_actions:
            self._useful.inc()


class _Engines:
    """Requests to engines."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            f"{PREFIX}engine_requests",
            "Requests to engines; code is the HTTP status, or what went wrong if there was no answer.",
            ["verb", "code"],
            registry=registry,
        )
        self._seconds = Histogram(
            f"{PREFIX}engine_request_seconds",
            "How long engines took to answer.",
            ["verb"],
            buckets=_ENGINE_SECONDS,
            registry=registry,
        )
        self._known: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        """By verb and code: looking them up by label costs more than counting, and audits do it all day."""

    def asked(self, verb: str, code: str, seconds: float) -> None:
        known = self._known.get((verb, code))
        if known is None:
            known = self._known[verb, code] = (self._requests.labels(verb, code), self._seconds.labels(verb))
        count, duration = known
        count.inc()
        duration.observe(seconds)


class QueueMetrics:
    """client-go's metrics of a workqueue; a `QueueMetricsProvider`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        names, mine = ["name", "controller"], (CONTROLLER, CONTROLLER)
        self._adds = Counter("workqueue_adds", "Keys put in line.", names, registry=registry).labels(*mine)
        self._retries = Counter(
            "workqueue_retries", "Keys that failed and come again.", names, registry=registry
        ).labels(*mine)
        self._depth = Gauge("workqueue_depth", "Keys in line.", names, registry=registry).labels(*mine)
        self._waits = Histogram(
            "workqueue_queue_duration_seconds",
            "How long keys waited in line.",
            names,
            buckets=_QUEUE_SECONDS,
            registry=registry,
        ).labels(*mine)
        self._works = Histogram(
            "workqueue_work_duration_seconds",
            "How long keys were worked on.",
            names,
            buckets=_QUEUE_SECONDS,
            registry=registry,
        ).labels(*mine)
        self._unfinished = Gauge(
            "workqueue_unfinished_work_seconds", "Seconds of work in hand and not finished.", names, registry=registry
        ).labels(*mine)
        self._longest = Gauge(
            "workqueue_longest_running_processor_seconds",
            "Seconds that the longest work in hand has taken.",
            names,
            registry=registry,
        ).labels(*mine)

    def show(self, queue: WorkQueue) -> None:
        """The gauges show this queue."""
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
    """Adapters and replicas as gauges, counted when somebody scrapes."""

    def __init__(self, census: Callable[[], AdapterCounts]) -> None:
        self._census = census

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Names only: with an empty cache."""
        return self._families(AdapterCounts())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        return self._families(self._census())

    def _families(self, census: AdapterCounts) -> Iterator[GaugeMetricFamily]:
        adapters = GaugeMetricFamily(f"{PREFIX}adapters", "ModelAdapters by phase.", labels=["phase"])
        for phase in PHASES:
            adapters.add_metric([phase], census.phases.get(phase, 0))
        yield adapters
        yield GaugeMetricFamily(f"{PREFIX}replicas_wanted", "Replicas that specs ask for.", value=census.wanted)
        yield GaugeMetricFamily(
            f"{PREFIX}replicas_ready", "Replicas that are loaded and published.", value=census.ready
        )
