"""How long a kubelet waits before it starts a container again."""

from dataclasses import dataclass

INITIAL = 10.0  # seconds; Kubernetes docs, "Pod Lifecycle": the back-off delay is 10s, 20s, 40s, …
CAP = 300.0  # seconds; same place: "capped at 300 seconds (5 minutes)"
FORGET_AFTER = 600.0  # seconds; same place: a container that ran for 10 minutes starts anew


@dataclass(slots=True)
class CrashLoopBackoff:
    """The back-off of one container."""

    _next: float = 0.0

    def exited(self, ran_for: float) -> float:
        """Seconds until the container may start again, after a run of `ran_for` seconds; the first time none."""
        wait = 0.0 if ran_for >= FORGET_AFTER else self._next
        self._next = min(max(INITIAL, wait * 2), CAP)
        return wait
