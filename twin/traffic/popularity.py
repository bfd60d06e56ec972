"""Chooses the adapter of a request: by popularity, among those that exist and have been Running or Idle.

A draw is made over all existing adapters; a request for one that has never run is not sent. Runs that differ only in
policy therefore see the same requests, as far as the adapters are available.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from itertools import accumulate

from twin.apiserver import Change, Store

ADAPTERS = "modeladapters.model.aibrix.ai"


class AdapterPopularity:
    """Follows the store's ModelAdapters."""

    def __init__(self, store: Store, weights: Mapping[str, float]) -> None:
        self._initial = weights
        self._weights: dict[str, float] = {}
        self._ran: set[str] = set()
        self._keys: dict[str, dict[str, None]] = defaultdict(dict)
        """Keys of the adapters by name, without the namespace."""
        self._sums: list[float] = []
        self._names: list[str] = []
        store.subscribe(self._changed, ADAPTERS)

    def choose(self, draw: float) -> str:
        """Return the adapter (`namespace/name`) for a random number in [0, 1); empty if it has never run."""
        if not self._weights:
            return ""
        if not self._sums:
            self._names = list(self._weights)
            self._sums = list(accumulate(self._weights.values()))
        index = bisect_right(self._sums, draw * self._sums[-1])
        name = self._names[min(index, len(self._names) - 1)]
        return name if name in self._ran else ""

    def named(self, adapter: str) -> str:
        """Return the adapter of that name in any namespace; empty if it has never run."""
        return next((key for key in self._keys.get(adapter, ()) if key in self._ran), "")

    def _changed(self, change: Change) -> None:
        obj = change.object
        meta = obj["metadata"]
        key = f"{meta['namespace']}/{meta['name']}"
        if change.type == "DELETED" or "deletionTimestamp" in meta:
            if self._weights.pop(key, None) is not None:
                self._ran.discard(key)
                self._keys[meta["name"]].pop(key)
                self._sums = []
            return
        if key not in self._weights:
            self._weights[key] = self._initial.get(key, 1.0)
            self._keys[meta["name"]][key] = None
            self._sums = []
        if obj.get("status", {}).get("phase") in ("Running", "Idle"):
            self._ran.add(key)
