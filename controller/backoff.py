"""When to try a pod again after a load has failed.

The schedule is a promise to users (design of the resource, "Loading, retries, switching"): waits of 5, 10, 20, 40
and 80 seconds, then the pod is left aside for this adapter. It is a pure function of what has been announced on
the object, so it holds across restarts of the controller. Jitter is drawn from the names involved and not from a
generator for the same reason: a controller that restarts within a wait has to arrive at the same wait.
"""

from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential waits between attempts on one pod; all times in seconds."""

    base: float = 5.0
    factor: float = 2.0
    cap: float = 300.0
    """No single wait is longer."""
    retries: int = 5
    """After the first attempt."""
    jitter: float = 0.0
    """Share by which a wait may be longer, 0 to 1."""

    def exhausted(self, failures: int) -> bool:
        """Whether `failures` failed attempts are all that a pod gets."""
        return failures > self.retries

    def wait(self, failures: int, *, salt: str = "") -> float:
        """Seconds from the end of the last failed attempt until the next may start.

        `salt` names what waits (adapter and pod); it spreads waits if there is jitter.

        Raises:
            ValueError: nothing has failed yet, so there is nothing to wait for.
        """
        if failures < 1:
            raise ValueError(f"no wait before the first attempt (failures={failures})")
        wait = self.base * self.factor ** min(failures - 1, 64)
        if self.jitter:
            wait *= 1 + self.jitter * _share(f"{salt}/{failures}")
        return min(wait, self.cap)


def _share(text: str) -> float:
    """A number in [0, 1) that depends on `text` alone."""
    return int.from_bytes(sha256(text.encode()).digest()[:6], "big") / 2**48
