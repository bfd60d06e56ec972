"""Who is asked for: adapters that exist and have been Running once, each by its popularity.

A draw is made over all adapters that exist, and a request for one that has never run is not made: so that runs which
differ in policy alone see the same requests, as far as there is anybody to ask.
"""

from collections.abc import Mapping
from itertools import accumulate

import numpy as np

from twin.apiserver import Change, Store

ADAPTERS = "modeladapters.model.aibrix.ai"


class AdapterPopularity:
    """Follows the store's ModelAdapters."""

    def __init__(self, store: Store, weights: Mapping[str, float]) -> None:
        self._given = weights
        self._weights: dict[str, float] = {}
        self._ran: set[str] = set()
        self._sums: np.ndarray | None = None
        self._names: list[str] = []
        store.subscribe(self._changed, ADAPTERS)

    def choose(self, draw: float) -> str:
        """The adapter (`namespace/name`) that `draw`, in [0, 1), stands for; empty if it is not asked for yet."""
        if not self._weights:
            return ""
        if self._sums is None:
            self._names = list(self._weights)
            self._sums = np.fromiter(accumulate(self._weights.values()), float)
        place = int(np.searchsorted(self._sums, draw * self._sums[-1], side="right"))
        name = self._names[min(place, len(self._names) - 1)]
        return name if name in self._ran else ""

    def named(self, adapter: str) -> str:
        """The adapter of that name, in whichever namespace; empty if it is not asked for yet."""
        return next((key for key in self._weights if key.split("/")[1] == adapter and key in self._ran), "")

    def _changed(self, change: Change) -> None:
        obj = change.object
        meta = obj["metadata"]
        key = f"{meta['namespace']}/{meta['name']}"
        if change.type == "DELETED" or "deletionTimestamp" in meta:
            if self._weights.pop(key, None) is not None:
                self._ran.discard(key)
                self._sums = None
            return
        if key not in self._weights:
            self._weights[key] = self._given.get(key, 1.0)
            self._sums = None
        if obj.get("status", {}).get("phase") == "Running":
            self._ran.add(key)
