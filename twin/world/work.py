"""Delayed actions of the cluster's parts, one for several changes.

No part polls. A part subscribes to the store, notes in its callback which of its keys are affected, and acts on them
in a SimPy event of its own after the delay that such a part has. It never writes inside a callback: other subscribers
would see the second write before the first.
"""

from collections.abc import Callable

import simpy

from fake_vllm.distributions import Latency
from twin.world.context import WorldContext


class Timer:
    """At most one call in the future, which can be moved or cancelled."""

    __slots__ = ("_call", "_env", "_set_for", "_timeout")

    def __init__(self, env: simpy.Environment, call: Callable[[], None]) -> None:
        self._env = env
        self._call = call
        self._timeout: simpy.Event | None = None
        self._set_for: float | None = None

    @property
    def due(self) -> float | None:
        """Time of the call; None if no call is due."""
        return self._set_for

    def set(self, at: float | None) -> None:
        """Call at time `at` (now if that is past) instead of the time set before; None cancels the call."""
        if at == self._set_for:
            return
        self._set_for, self._timeout = at, None
        if at is not None:
            self._timeout = self._env.timeout(max(0.0, at - self._env.now))
            self._timeout.callbacks.append(self._fire)

    def cancel(self) -> None:
        """Cancel the call."""
        self.set(None)

    @property
    def is_set(self) -> bool:
        """True if a call is to come."""
        return self._set_for is not None

    def _fire(self, event: simpy.Event) -> None:
        if event is self._timeout:
            self._timeout = self._set_for = None
            self._call()


class DelayedQueue:
    """Keys to process; `process` is called once for each, after a delay drawn for that key."""

    def __init__(self, context: WorldContext, name: str, delay: Latency, process: Callable[[str], None]) -> None:
        self._context = context
        self._name = name
        self._delay = delay
        self._process = process
        self._waiting: set[str] = set()

    def add(self, key: str) -> None:
        """Add a key; does nothing if it is waiting already."""
        if key in self._waiting:
            return
        self._waiting.add(key)
        # one stream per key: what happens to one key must not shift the draws of another
        delay = self._delay.draw(self._context.streams.get(f"{self._name}/{key}"))
        self._context.env.timeout(delay, key).callbacks.append(self._fire)

    def _fire(self, event: simpy.Event) -> None:
        key = str(event.value)
        self._waiting.discard(key)
        try:
            self._process(key)
        except Exception as error:
            self._context.on_failure(self._name, key, error)
