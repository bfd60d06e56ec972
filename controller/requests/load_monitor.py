"""Load of engines, for policies and for what follows demand: the leader reads each pod's `/metrics` once per interval.

Nothing is read while no adapter uses autoscaling, activation or a policy that needs it, unless rebalancing is by
requests. A reconcile never waits for a reading; a load that is missing or too old is unknown to the policy, which then
falls back on the number of adapters.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from controller.cache.cache import Cache
from controller.cache.pod_view import PodView
from controller.engine.client import Address, EngineClient
from controller.engine.errors import EngineError
from controller.engine.metrics import MetricsSample, read
from controller.policies import EngineLoad, Policies
from controller.settings import Settings

Round = Mapping[str, tuple[PodView, MetricsSample]]
"""Pages read at about the same time, by pod (`namespace/name`)."""

_TIMEOUT = 5.0
"""Seconds for one page."""
_MAX_AGE = 3
"""Intervals after which a sample is ignored."""
_NEWEST = 0.3
"""Weight of the newest sample in an adapter's expected number of requests."""


@dataclass(frozen=True, slots=True)
class LoadSample:
    """Metrics of one incarnation of an engine."""

    engine: str
    taken_at: float
    """Loop time."""
    metrics: MetricsSample
    load: EngineLoad


@dataclass(frozen=True, slots=True)
class EngineLoads:
    """Loads at one instant."""

    samples: Mapping[str, LoadSample] = field(default_factory=dict)
    """By pod UID."""
    demand: Mapping[str, float] = field(default_factory=dict)
    """Requests in flight on one pod, by adapter."""
    average_demand: float = 0.0
    """Assumed for adapters without a sample."""
    now: float = 0.0
    max_age: float = 0.0

    def of(self, pod: PodView) -> EngineLoad | None:
        """Return the load of the pod's current incarnation; None if it is unknown or too old."""
        sample = self.samples.get(pod.uid)
        if sample is None or sample.engine != pod.engine:
            return None
        return sample.load if self.now - sample.taken_at <= self.max_age else None

    def expected_requests(self, adapters: Iterable[str]) -> float:
        """Return the requests in flight that these adapters cause on one pod."""
        return sum(self.demand.get(key, self.average_demand) for key in adapters)


@dataclass(frozen=True, slots=True)
class Hints:
    """Callbacks for metrics that hint at lost adapters."""

    restarted: Callable[[PodView], None] = lambda _: None
    """Called when its process has restarted."""
    refusing: Callable[[PodView], None] = lambda _: None
    """Called when it has refused requests: the adapter they named may be gone."""


class LoadMonitor:
    """Samples of all engines since this replica began to lead."""

    def __init__(
        self,
        client: EngineClient,
        cache: Cache,
        policies: Policies,
        settings: Settings,
        hints: Hints | None = None,
        on_round: Callable[[Round], None] = lambda _: None,
    ) -> None:
        """`on_round` is called once per interval, also if nothing was read."""
        self._client = client
        self._cache = cache
        self._policies = policies
        self._hints = hints or Hints()
        self._on_round = on_round
        self._interval = settings.scrape_interval
        self._always = settings.rebalance.by_requests
        self._samples: dict[str, LoadSample] = {}
        self._demand: dict[str, float] = {}
        self._average = 0.0

    def loads(self) -> EngineLoads:
        """Return the loads as of now."""
        now = asyncio.get_running_loop().time()
        return EngineLoads(self._samples, self._demand, self._average, now, _MAX_AGE * self._interval)

    def forget_pod(self, pod: PodView) -> None:
        """Drop the sample of a deleted pod."""
        self._samples.pop(pod.uid, None)

    async def run(self) -> None:
        """Read all pods once per interval while a policy or an adapter needs it."""
        while True:
            await self._sample_all(self._pods())
            await asyncio.sleep(self._interval)

    def _pods(self) -> list[PodView]:
        """Return the pods on which adapters with such a policy, with autoscaling or on demand, can be."""
        spaces = {space for space, name in self._cache.schedulers if self._policies.needs_metrics(name)}
        spaces |= {key.partition("/")[0] for key in (*self._cache.autoscaled, *self._cache.on_demand)}
        if self._always:
            spaces |= {space for space, _ in self._cache.schedulers}
        pods = (pod for space in sorted(spaces) for pod in self._cache.pods_in(space).values())
        return [pod for pod in pods if pod.enabled and pod.available and pod.engine]

    async def _sample_all(self, pods: list[PodView]) -> None:
        pages: dict[str, tuple[PodView, MetricsSample]] = {}
        async with asyncio.TaskGroup() as tasks:
            for pod in pods:
                tasks.create_task(self._sample(pod, pages), name=f"metrics of {pod.name}")
        self._update_demand(pods)
        self._on_round(pages)

    async def _sample(self, pod: PodView, pages: dict[str, tuple[PodView, MetricsSample]]) -> None:
        try:
            metrics = read(await self._client.metrics(Address(pod.ip, pod.port), min(_TIMEOUT, self._interval)))
        except (EngineError, ValueError):
            return
        pages[pod.key] = pod, metrics
        before = self._samples.get(pod.uid)
        now = asyncio.get_running_loop().time()
        if before is not None and before.engine != pod.engine:
            before = None
        if before is not None and _restarted(before.metrics, metrics):
            self._hints.restarted(pod)
        elif before is not None and _refused_more(before.metrics, metrics):
            self._hints.refusing(pod)
        adapters = sum(1 for _ in self._cache.occupancy.on(pod.key))
        self._samples[pod.uid] = LoadSample(pod.engine, now, metrics, _load(before, now, metrics, adapters))

    def _update_demand(self, pods: list[PodView]) -> None:
        """Update each adapter's demand with its average share of the requests on its pods."""
        now = asyncio.get_running_loop().time()
        shares: dict[str, list[float]] = {}
        for pod in pods:
            sample = self._samples.get(pod.uid)
            if sample is None or sample.metrics.requests is None or now - sample.taken_at >= self._interval:
                continue
            active = sample.metrics.adapters
            share = sample.metrics.requests / len(active) if active else 0.0
            for key in self._cache.occupancy.on(pod.key):
                shares.setdefault(key, []).append(share if key.partition("/")[2] in active else 0.0)
        for key, values in shares.items():
            average = sum(values) / len(values)
            before = self._demand.get(key, average)
            self._demand[key] = before + _NEWEST * (average - before)
        for key in [key for key in self._demand if self._cache.adapters.get(key) is None]:
            del self._demand[key]
        self._average = sum(self._demand.values()) / len(self._demand) if self._demand else 0.0


def _load(before: LoadSample | None, now: float, metrics: MetricsSample, adapters: int) -> EngineLoad:
    """Return the load between two samples; for the first one, since the engine's start as far as totals allow."""
    earlier = before.metrics if before is not None else MetricsSample()
    ended = _increase(earlier.ended, metrics.ended)
    busy = _increase(earlier.busy_seconds, metrics.busy_seconds)
    tokens = _increase(earlier.tokens, metrics.tokens)
    rate = None
    if tokens is not None and before is not None and now > before.taken_at:
        rate = tokens / (now - before.taken_at)
    return EngineLoad(
        latency=_latency(busy, ended, metrics), throughput=rate, requests=metrics.requests, adapters=adapters
    )


def _restarted(before: MetricsSample, after: MetricsSample) -> bool:
    """Return whether the process has another start time than before, or a lower total."""
    if before.started_at is not None and after.started_at is not None and before.started_at != after.started_at:
        return True
    totals = ((before.ended, after.ended), (before.tokens, after.tokens), (before.busy_seconds, after.busy_seconds))
    return any(old is not None and new is not None and new < old for old, new in totals)


def _refused_more(before: MetricsSample, after: MetricsSample) -> bool:
    """Return whether requests have been refused since `before`; a series that begins counts from 0."""
    return (after.refused or 0.0) > (before.refused or 0.0)


def _latency(busy: float | None, ended: float | None, metrics: MetricsSample) -> float | None:
    """Return 0 for an idle engine, None for one with requests of which none has ended."""
    if ended is None or busy is None:
        return None
    if ended > 0:
        return busy / ended
    return None if metrics.requests else 0.0


def _increase(before: float | None, after: float | None) -> float | None:
    """Return the increase of a total; a total that has fallen was reset."""
    if after is None:
        return None
    return after - before if before is not None and after >= before else after
