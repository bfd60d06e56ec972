"""Which adapters' weights an engine holds: a cache that drops the least recently used.

Weights are numbered apart from names, because a name may be forgotten while its weights stay, and loaded
again beside them.
"""

from collections import OrderedDict


class LoraCache:
    """At most `capacity` adapters and `budget` bytes (None: no limit)."""

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
        """What is held, least recently used first."""
        return list(self._sizes)

    def new_key(self) -> int:
        """A number that was never used."""
        self._last_key += 1
        return self._last_key

    def fits(self, key: int, size: int) -> bool:
        """Whether weights of `size` bytes can be held, once those are gone that they push out by count."""
        if self._budget is None:
            return True
        others = [size for other, size in self._sizes.items() if other != key]
        room = self._capacity - 1
        return (sum(others[-room:]) if room else 0) + size <= self._budget

    def put(self, key: int, size: int) -> None:
        """Hold these as the most recently used; drops what is too many."""
        self._sizes[key] = size
        self._sizes.move_to_end(key)
        while len(self._sizes) > self._capacity:
            self._sizes.popitem(last=False)

    def remove(self, key: int) -> bool:
        """Let go of these; returns whether they were still held."""
        return self._sizes.pop(key, None) is not None

    def __contains__(self, key: int) -> bool:
        return key in self._sizes
