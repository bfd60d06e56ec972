"""Adapters that have been asked for while they were idle. In memory, until the object says that they are to be loaded.

A wish outlasts its request: a client that gave up, or got 503, finds the adapter loaded when it tries again.
"""

from collections.abc import Callable


class Wishes:
    """Wanted adapters, by `namespace/name`. `wake` queues one for a reconcile."""

    def __init__(self, wake: Callable[[str], None]) -> None:
        self._wake = wake
        self._wanted: dict[str, None] = {}

    def add(self, key: str) -> None:
        """Note that an adapter is wanted."""
        if key not in self._wanted:
            self._wanted[key] = None
            self._wake(key)

    def wanted(self, key: str) -> bool:
        """Return whether an adapter is wanted, and its object does not say so yet."""
        return key in self._wanted

    def discard(self, key: str) -> None:
        """Forget a wish that the object has, or that has no object."""
        self._wanted.pop(key, None)
