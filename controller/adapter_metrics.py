"""Metrics about adapters as a whole: counts by phase, replicas, and the time from creation to Running."""

from collections import Counter

from controller.api.types import ModelAdapter
from controller.cache.cache import Cache
from controller.clock import Clock
from controller.metrics.instruments import AdapterCounts, Metrics


class AdapterMetrics:
    """Adapters in a cache."""

    def __init__(self, cache: Cache, clock: Clock, metrics: Metrics) -> None:
        self._cache = cache
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
        return AdapterCounts(Counter(adapter.status.phase or "Pending" for adapter in adapters), desired, ready)

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


def _desired_replicas(adapter: ModelAdapter) -> int:
    """Return the replicas in the spec; those of the last reconcile without a number there, or if loaded on demand."""
    replicas = adapter.spec.replicas
    return adapter.status.desired_replicas if replicas is None or adapter.spec.on_demand else replicas
