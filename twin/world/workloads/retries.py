"""The back-off of controllers whose requests are refused, as by a ResourceQuota."""

from twin.apiserver import ApiError
from twin.apiserver.storage.deletion import TERMINATING

FIRST = 0.005  # seconds; client-go, DefaultTypedControllerRateLimiter: 5 ms, doubling up to 1 000 s
LONGEST = 1000.0  # seconds


class Retries:
    """Counts the failures in a row of each key."""

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}

    def next_delay(self, key: str) -> float:
        """Return the seconds until the next attempt, after one more failure."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        return min(LONGEST, FIRST * 2.0 ** min(failures, 30))

    def forget(self, key: str) -> None:
        """Forget the failures of a key that has succeeded."""
        self._failures.pop(key, None)


def is_final(error: ApiError) -> bool:
    """Return True if a refusal is not tried again: its namespace is being deleted."""
    causes = (error.status.get("details") or {}).get("causes") or ()
    return any(cause.get("reason") == TERMINATING for cause in causes)
