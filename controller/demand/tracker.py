"""Demand for the adapters with autoscaling, from each round of metrics. In memory only: a restart measures again."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from controller.api.annotations import scaled_at
from controller.api.types import Autoscaling, ModelAdapter
from controller.cache.cache import Cache
from controller.cache.pod_view import PodView
from controller.clock import Clock
from controller.demand.budget import Claim, divide
from controller.demand.estimate import SAMPLES, PodSample, pod_sample, requests_by_adapter
from controller.demand.scaling import Demand, DemandSample, Limit, ScalingDecision, decide
from controller.engine.metrics import MetricsSample
from controller.settings import Settings

_UNLIMITED = 1_000_000
"""Room for replicas, where the plan knows better."""


@dataclass(slots=True)
class _Engine:
    """Samples of one incarnation of an engine."""

    incarnation: str
    page: MetricsSample | None = None
    samples: deque[PodSample] = field(default_factory=lambda: deque(maxlen=SAMPLES))


@dataclass(slots=True)
class _Adapter:
    samples: list[DemandSample] = field(default_factory=list)
    granted: int | None = None
    reported: tuple[Limit | None, Limit | None] = (None, None)


class DemandTracker:
    """Samples since this replica began to lead."""

    def __init__(self, cache: Cache, clock: Clock, settings: Settings, wake: Callable[[str], None]) -> None:
        self._cache = cache
        self._clock = clock
        self._interval = settings.scrape_interval
        self._budget = settings.autoscaling_budget
        self._always = settings.rebalance.by_requests
        self._wake = wake
        self._engines: dict[str, _Engine] = {}
        self._adapters: dict[str, _Adapter] = {}
        self.estimates: Mapping[str, Mapping[str, float]] = {}
        """Requests in flight by pod (`namespace/name`) and adapter, where there are enough samples."""

    def of(self, key: str) -> Demand:
        """Return the demand for an adapter (`namespace/name`)."""
        state = self._adapters.get(key) or _Adapter()
        return Demand(tuple(state.samples), self._interval, state.granted)

    def forget_pod(self, pod: PodView) -> None:
        """Drop the samples of a deleted pod."""
        self._engines.pop(pod.key, None)

    def observe(self, pages: Mapping[str, tuple[PodView, MetricsSample]]) -> None:
        """Add a round of metrics, and wake the adapters for which it changes something."""
        if not self._cache.autoscaled and not self._always:
            self._engines.clear()
            self._adapters.clear()
            return
        now = self._clock.now().timestamp()
        fresh = {key for key, (pod, page) in pages.items() if self._add(pod, page)}
        estimates = {key: requests_by_adapter(tuple(self._engines[key].samples)) for key in sorted(fresh)}
        self.estimates = {key: estimates[key] for key in estimates if len(self._engines[key].samples) == SAMPLES}
        keys = sorted(self._cache.autoscaled)
        adapters = {key: adapter for key in keys if (adapter := self._cache.adapters.get(key)) is not None}
        self._adapters = {key: self._adapters.get(key) or _Adapter() for key in adapters}
        for adapter in adapters.values():
            self._measure(adapter, estimates, now)
        if self._budget:
            self._divide(adapters, now)
        for key, adapter in adapters.items():
            self._report(key, self._decide(adapter, self.of(key), now))

    def _add(self, pod: PodView, page: MetricsSample) -> bool:
        """Add a page to the samples of its engine; return whether it is plausible."""
        engine = self._engines.get(pod.key)
        if engine is None or engine.incarnation != pod.engine:
            engine = self._engines[pod.key] = _Engine(pod.engine)
        sample, engine.page = pod_sample(engine.page, page), page
        if sample is not None:
            engine.samples.append(sample)
        return sample is not None

    def _measure(self, adapter: ModelAdapter, estimates: Mapping[str, Mapping[str, float]], now: float) -> None:
        """Add a sample of an adapter's demand, unless the metrics of all its replicas are missing."""
        meta = adapter.metadata
        pods = [f"{meta.namespace}/{pod}" for pod in adapter.status.instances]
        known = [estimates[pod].get(meta.name, 0.0) for pod in pods if pod in estimates]
        samples = self._adapters[adapter.key].samples
        if known:
            samples.append(DemandSample(now, sum(known), complete=len(known) == len(pods)))
        oldest = now - _longest_window(_autoscaling(adapter)) - 3 * self._interval
        while samples and samples[0].at < oldest:
            del samples[0]

    def _decide(self, adapter: ModelAdapter, demand: Demand, now: float) -> ScalingDecision:
        """Return the decision that a plan makes, as far as it does not depend on pods."""
        changed = scaled_at(adapter.metadata.annotations)
        spec = _autoscaling(adapter)
        return decide(spec, adapter.spec.replicas, demand, scaled_at=changed, room=_UNLIMITED, now=now)

    def _divide(self, adapters: Mapping[str, ModelAdapter], now: float) -> None:
        """Divide the budget among what the adapters would have without one."""
        claims = {}
        for key, adapter in adapters.items():
            spec, demand = _autoscaling(adapter), replace(self.of(key), granted=None)
            extra = self._decide(adapter, demand, now).replicas - spec.min
            claims[key] = Claim(max(extra, 0), spec.priority)
        granted = divide(claims, self._budget)
        for key, state in self._adapters.items():
            state.granted = granted[key]

    def _report(self, key: str, decision: ScalingDecision) -> None:
        state, problems = self._adapters[key], (decision.problem, decision.limit)
        if decision.cause or problems != state.reported:
            state.reported = problems
            self._wake(key)


def _autoscaling(adapter: ModelAdapter) -> Autoscaling:
    assert adapter.spec.autoscaling is not None
    return adapter.spec.autoscaling


def _longest_window(spec: Autoscaling) -> float:
    return max(spec.scale_up.stabilization_window_seconds, spec.scale_down.stabilization_window_seconds)
