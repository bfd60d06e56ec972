"""Delay between attempts to load an adapter on one pod.

The schedule is part of the documented contract: 5, 10, 20, 40 and 80 seconds, then another pod is selected. It depends
only on the attempts announced on the object, so a restarted controller continues the same schedule. For the same
reason jitter is derived from the names involved and not drawn from a generator.
"""

from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff."""

    base: float = 5.0
    """Seconds before the first retry."""
    factor: float = 2.0
    """Multiplier for each further retry."""
    cap: float = 300.0
    """Upper bound of one delay, in seconds."""
    retries: int = 5
    """Retries after the first attempt."""
    jitter: float = 0.0
    """Largest share by which a delay is extended, 0 to 1."""

    def exhausted(self, failures: int) -> bool:
        """Return whether no retry is left after `failures` failed attempts."""
        return failures > self.retries

    def delay(self, failures: int, *, salt: str = "") -> float:
        """Return the seconds to wait after the last of `failures` failed attempts.

        `salt` identifies the adapter and the pod; jitter depends on it.

        Raises:
            ValueError: if `failures` is less than 1.
        """
        if failures < 1:
            raise ValueError(f"failures must be at least 1, not {failures}")
        delay = self.base * self.factor ** min(failures - 1, 64)
        if self.jitter:
            delay *= 1 + self.jitter * _share(f"{salt}/{failures}")
        return min(delay, self.cap)


def _share(text: str) -> float:
    """Return a number in [0, 1) that depends on `text` alone."""
    return int.from_bytes(sha256(text.encode()).digest()[:6], "big") / 2**48
