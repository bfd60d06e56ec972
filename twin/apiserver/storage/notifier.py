"""Delivery of committed changes to subscribers, in order."""

from collections import deque
from collections.abc import Callable

from twin.apiserver.meta.objects import key
from twin.apiserver.storage.watch import Change
from twin.kernel.failures import OnFailure

Subscriber = Callable[[Change], None]


class ChangeNotifier:
    """Calls subscribers after each write.

    If a subscriber writes, its change is delivered after all subscribers have received the current one.
    """

    def __init__(self, on_failure: OnFailure) -> None:
        self._on_failure = on_failure
        self._subscribers: list[tuple[str, Subscriber]] = []
        self._of: dict[str, list[Subscriber]] = {}  # by resource, in order of subscription
        self._queue: deque[Change] = deque()
        self._delivering = False

    def subscribe(self, callback: Subscriber, resource: str) -> None:
        """Call `callback` for changes of `resource` (empty = any resource)."""
        self._subscribers.append((resource, callback))
        self._of = {}

    def publish(self, change: Change) -> None:
        """Deliver a change, or queue it during the delivery of another one."""
        self._queue.append(change)
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._queue:
                current = self._queue.popleft()
                callbacks = self._of.get(current.resource)
                for callback in self._callbacks(current.resource) if callbacks is None else callbacks:
                    self._call(callback, current)
        finally:
            self._delivering = False

    def _callbacks(self, resource: str) -> list[Subscriber]:
        """Return the subscribers of a resource; they are kept until the next subscription."""
        matching = [callback for subscribed, callback in self._subscribers if subscribed in ("", resource)]
        self._of[resource] = matching
        return matching

    def _call(self, callback: Subscriber, change: Change) -> None:
        """Call a subscriber; the write is committed, so its failure is not that of the request."""
        try:
            callback(change)
        except Exception as error:
            self._on_failure("a subscriber", key(change.object), error)
