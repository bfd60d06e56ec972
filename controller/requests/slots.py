"""Limit of concurrent loads and unloads per engine, with a queue of waiting adapters per pod.

A slow engine delays only the adapters that need it. A free slot is offered to the adapter that has waited longest; if
its next reconcile does not take the slot, the slot is offered to the next one.
"""

from collections import deque
from collections.abc import Callable, Set


class RequestSlots:
    """Slots by pod (`namespace/name`). `wake` queues an adapter's key."""

    def __init__(self, limit: int, wake: Callable[[str], None]) -> None:
        self._limit = limit
        self._wake = wake
        self._used: dict[str, int] = {}
        self._full: set[str] = set()
        self._waiting: dict[str, deque[str]] = {}
        self._offered: dict[str, set[str]] = {}

    @property
    def full(self) -> Set[str]:
        """Pods without a free slot. Not to be mutated."""
        return self._full

    def has_slot(self, pod: str) -> bool:
        """Return whether the pod's engine may be sent one more request."""
        return pod not in self._full

    def reserve(self, pod: str) -> None:
        """Take a slot for a request that is about to be announced."""
        self._used[pod] = self._used.get(pod, 0) + 1
        if self._used[pod] >= self._limit:
            self._full.add(pod)

    def release(self, pod: str) -> None:
        """Return a slot, and offer it to the adapter that has waited longest."""
        self._used[pod] -= 1
        if self._used[pod] < self._limit:
            self._full.discard(pod)
        if not self._used[pod]:
            del self._used[pod]
        self._offer(pod)

    def wait_for_slot(self, adapter: str, pod: str) -> None:
        """Put the adapter in the pod's queue."""
        queue = self._waiting.setdefault(pod, deque())
        if adapter not in queue:
            queue.append(adapter)

    def reconcile_finished(self, adapter: str) -> None:
        """Offer the slots that the adapter was offered and has not taken to the next in each queue."""
        for pod in sorted(self._offered.pop(adapter, ())):
            self._offer(pod)

    def forget_pod(self, pod: str) -> None:
        """Wake all adapters that wait for a deleted pod."""
        for adapter in self._waiting.pop(pod, ()):
            self._wake(adapter)

    def _offer(self, pod: str) -> None:
        queue = self._waiting.get(pod)
        if queue and self.has_slot(pod):
            adapter = queue.popleft()
            self._offered.setdefault(adapter, set()).add(pod)
            self._wake(adapter)
