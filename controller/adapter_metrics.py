"""Metrics about adapters: counts by phase, replicas, the time from creation to Running, and series of single adapters.

The number of single adapters is bounded, since each series costs Prometheus memory: those that lack replicas come
first, so that an alert sees them, then those with the most requests.
"""

from collections import Counter
from heapq import nsmallest

from controller.api.types import ModelAdapter
from controller.cache.cache import Cache
from controller.clock import Clock
from controller.demand.tracker import DemandTracker
from controller.metrics.instruments import AdapterCounts, AdapterValues, Metrics

MOST_ADAPTERS = 200
"""Adapters with series of their own."""


class AdapterMetrics:
    """Adapters in a cache."""

    def __init__(self, cache: Cache, demand: DemandTracker, clock: Clock, metrics: Metrics) -> None:
        self._cache = cache
        self._demand = demand
        self._clock = clock
        self._metrics = metrics
        self._new: set[str] = set()
        """UIDs of adapters that were observed before their first status; only these are timed."""
        cache.adapters.on_change(self._adapter_changed)

    def counts(self) -> AdapterCounts:
        """Return the current counts."""
        adapters = list(self._cache.adapters)
        desired = sum(_desired_replicas(adapter) for adapter in adapters)
        ready = sum(adapter.status.ready_replicas for adapter in adapters)
        phases = Counter(adapter.status.phase or "Pending" for adapter in adapters)
        single = nsmallest(MOST_ADAPTERS, map(self._values, adapters), key=_order)
        return AdapterCounts(phases, desired, ready, single, len(adapters) - len(single))

    def _values(self, adapter: ModelAdapter) -> AdapterValues:
        meta, requests = adapter.metadata, None
        if adapter.spec.autoscaling is not None and (samples := self._demand.of(adapter.key).samples):
            requests = samples[-1].requests
        return AdapterValues(
            meta.namespace, meta.name, _desired_replicas(adapter), adapter.status.ready_replicas, requests
        )

    def _adapter_changed(self, old: ModelAdapter | None, new: ModelAdapter | None) -> None:
        if new is None:
            assert old is not None
            self._new.discard(old.metadata.uid)
            return
        meta = new.metadata
        if not new.status.phase:
            self._new.add(meta.uid)
        elif new.status.phase == "Running" and meta.uid in self._new:
            self._new.discard(meta.uid)
            if meta.creation_timestamp is not None:
                self._metrics.observe_time_to_running((self._clock.now() - meta.creation_timestamp).total_seconds())


def _order(adapter: AdapterValues) -> tuple[float | str, ...]:
    lacking = adapter.ready - adapter.desired
    return min(lacking, 0), -(adapter.requests or 0.0), adapter.namespace, adapter.name


def _desired_replicas(adapter: ModelAdapter) -> int:
    """Return the replicas in the spec; those of the last reconcile without a number there, or if loaded on demand."""
    replicas = adapter.spec.replicas
    return adapter.status.desired_replicas if replicas is None or adapter.spec.on_demand else replicas
