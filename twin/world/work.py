"""How the parts of the world come to act: a little later, and once.

Nothing in the world ticks. A part subscribes to the store, notes in its callback which of its keys are
concerned, and acts on them in a SimPy event of its own after the time that such a part takes. It never writes
inside a callback: other subscribers would then see the second write before the first.
"""

from collections.abc import Callable

import simpy

from fake_vllm.distributions import Latency
from twin.kernel.random_streams import Streams


class Timer:
    """At most one call in the future, that can be moved or called off."""

    __slots__ = ("_call", "_env", "_set_for", "_timeout")

    def __init__(self, env: simpy.Environment, call: Callable[[], None]) -> None:
        self._env = env
        self._call = call
        self._timeout: simpy.Event | None = None
        self._set_for: float | None = None

    def set(self, at: float | None) -> None:
        """Call at time `at` (now if that is past) instead of what was set before; None: not at all."""
        if at == self._set_for:
            return
        self._set_for, self._timeout = at, None
        if at is not None:
            self._timeout = self._env.timeout(max(0.0, at - self._env.now))
            self._timeout.callbacks.append(self._ring)

    def cancel(self) -> None:
        """Forget it."""
        self.set(None)

    def _ring(self, event: simpy.Event) -> None:
        if event is self._timeout:
            self._timeout = self._set_for = None
            self._call()


class DelayedQueue:
    """Keys that something has happened to; `react` is called once for each, after a delay drawn for that key."""

    def __init__(
        self, env: simpy.Environment, streams: Streams, name: str, delay: Latency, react: Callable[[str], None]
    ) -> None:
        self._env = env
        self._streams = streams
        self._name = name
        self._delay = delay
        self._react = react
        self._waiting: set[str] = set()

    def note(self, key: str) -> None:
        """Something happened to `key`; if it is waiting to be looked at already, once is enough."""
        if key in self._waiting:
            return
        self._waiting.add(key)
        # a stream for each key: what happens to one must not shift the draws of another
        delay = self._delay.draw(self._streams.get(f"{self._name}/{key}"))
        self._env.timeout(delay, key).callbacks.append(self._fire)

    def _fire(self, event: simpy.Event) -> None:
        key = str(event.value)
        self._waiting.discard(key)
        self._react(key)
