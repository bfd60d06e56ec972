"""Delivery of committed changes to subscribers, in order."""

from collections import deque
from collections.abc import Callable

from twin.apiserver.storage.watch import Change

Subscriber = Callable[[Change], None]


class ChangeNotifier:
    """Calls subscribers after each write.

    If a subscriber writes, its change is delivered after all subscribers have received the current one.
    """

    def __init__(self) -> None:
        self._subscribers: list[tuple[str, Subscriber]] = []
        self._queue: deque[Change] = deque()
        self._delivering = False

    def subscribe(self, callback: Subscriber, resource: str) -> None:
        """Call `callback` for changes of `resource` (empty = any resource)."""
        self._subscribers.append((resource, callback))

    def publish(self, change: Change) -> None:
        """Deliver a change, or queue it during the delivery of another one."""
        self._queue.append(change)
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._queue:
                current = self._queue.popleft()
                for resource, callback in self._subscribers:
                    if not resource or resource == current.resource:
                        callback(current)
        finally:
            self._delivering = False
