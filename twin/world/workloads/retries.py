"""The back-off of controllers whose requests are refused, as by a ResourceQuota."""

from collections.abc import Callable
from functools import partial

import simpy

from twin.apiserver import ApiError
from twin.apiserver.storage.deletion import TERMINATING
from twin.world.work import Timer

FIRST = 0.005  # seconds; client-go, DefaultTypedControllerRateLimiter: 5 ms, doubling up to 1 000 s
LONGEST = 1000.0  # seconds


class Retries:
    """Counts the failures in a row of each key, and adds the key to a queue again: once, however often it fails."""

    def __init__(self, env: simpy.Environment, add: Callable[[str], None]) -> None:
        self._env = env
        self._add = add
        self._failures: dict[str, int] = {}
        self._timers: dict[str, Timer] = {}

    def plan(self, key: str) -> None:
        """Plan another attempt after one more failure; an earlier one that is planned already stays."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        timer = self._timers.setdefault(key, Timer(self._env, partial(self._add, key)))
        at = self._env.now + min(LONGEST, FIRST * 2.0 ** min(failures, 30))
        if timer.due is None or at < timer.due:
            timer.set(at)

    def forget(self, key: str) -> None:
        """Forget the failures of a key that has succeeded."""
        self._failures.pop(key, None)


def is_final(error: ApiError) -> bool:
    """Return True if a refusal is not tried again: its namespace is being deleted."""
    causes = (error.status.get("details") or {}).get("causes") or ()
    return any(cause.get("reason") == TERMINATING for cause in causes)
