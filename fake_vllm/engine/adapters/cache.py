"""Cache of adapter weights that evicts the least recently used ones, as vLLM's `LRUCacheWorkerLoRAManager` does.

Its keys are numbers, not names: a name can be forgotten while its weights stay, and be loaded again beside them.
"""

from collections import OrderedDict


class LoraCache:
    """Weights of at most `capacity` adapters and `budget` bytes (None: no limit)."""

    def __init__(self, capacity: int, budget: int | None) -> None:
        self._capacity = capacity
        self._budget = budget
        self._sizes: OrderedDict[int, int] = OrderedDict()
        self._last_key = 0

    @property
    def used_bytes(self) -> int:
        """Bytes in memory."""
        return sum(self._sizes.values())

    def keys(self) -> list[int]:
        """Return the keys in memory, least recently used first."""
        return list(self._sizes)

    def new_key(self) -> int:
        """Return a key that was never used."""
        self._last_key += 1
        return self._last_key

    def fits(self, key: int, size: int) -> bool:
        """Return whether weights of `size` bytes fit after the evictions that their count causes."""
        if self._budget is None:
            return True
        others = [other_size for other, other_size in self._sizes.items() if other != key]
        places = self._capacity - 1
        return (sum(others[-places:]) if places else 0) + size <= self._budget

    def put(self, key: int, size: int) -> None:
        """Store weights as the most recently used ones, and evict those beyond the capacity."""
        self._sizes[key] = size
        self._sizes.move_to_end(key)
        while len(self._sizes) > self._capacity:
            self._sizes.popitem(last=False)

    def remove(self, key: int) -> None:
        """Remove weights, if they are in memory."""
        self._sizes.pop(key, None)

    def __contains__(self, key: int) -> bool:
        return key in self._sizes
