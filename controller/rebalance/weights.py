"""Requests in flight by adapter, as weights of their copies. In memory only: a restart measures again."""

from collections.abc import Iterable, Mapping

from controller.api.types import ModelAdapter
from controller.cache.cache import Cache
from controller.demand.estimate import SAMPLES


class AdapterWeights:
    """Last estimate for each adapter.

    An estimate is made from several samples of an engine. For some time after a move, samples of before the move are
    among them: the former estimate is kept.
    """

    def __init__(self, cache: Cache, interval: float) -> None:
        """`interval`: seconds between two samples."""
        self._cache = cache
        self._window = SAMPLES * interval
        self._requests: dict[str, float] = {}

    def update(self, estimates: Mapping[str, Mapping[str, float]], now: float) -> None:
        """Take over what was measured. `estimates`: requests in flight by pod (`namespace/name`) and adapter."""
        adapters = {adapter.key: adapter for adapter in self._cache.adapters}
        self._requests = {
            key: requests
            for key, adapter in adapters.items()
            if (requests := self._measure(key, adapter, estimates, now)) is not None
        }

    def per_copy(self, adapters: Iterable[ModelAdapter]) -> dict[str, float]:
        """Return the requests in flight of one copy, by adapter."""
        return {
            adapter.key: self._requests.get(adapter.key, 0.0) / max(len(adapter.status.instances), 1)
            for adapter in adapters
        }

    def _measure(
        self, key: str, adapter: ModelAdapter, estimates: Mapping[str, Mapping[str, float]], now: float
    ) -> float | None:
        """Return the requests in flight on all pods of an adapter; the former number if they are not known now."""
        former, move = self._requests.get(key), self._cache.moves.get(key)
        if former is not None and move is not None and (move.under_way or now - move.finished < self._window):
            return former
        meta = adapter.metadata
        known = [estimates.get(f"{meta.namespace}/{pod}") for pod in adapter.status.instances]
        if None in known:
            return former
        return sum(estimate.get(meta.name, 0.0) for estimate in known if estimate is not None)
