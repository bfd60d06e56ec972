"""Delay of a kubelet before it restarts a container."""

from dataclasses import dataclass

INITIAL = 10.0  # seconds; Kubernetes docs, "Pod Lifecycle": the back-off delay is 10s, 20s, 40s, …
CAP = 300.0  # seconds; same place: "capped at 300 seconds (5 minutes)"
FORGET_AFTER = 600.0  # seconds; same place: a run of 10 minutes resets the back-off


@dataclass(slots=True)
class CrashLoopBackoff:
    """Back-off of one container."""

    _next: float = 0.0

    def next_wait(self, ran_for: float) -> float:
        """Return the seconds until the next start, after a run of `ran_for` seconds; 0 for the first restart."""
        wait = 0.0 if ran_for >= FORGET_AFTER else self._next
        self._next = min(max(INITIAL, wait * 2), CAP)
        return wait
