"""Probes computed without polling: when the result of a container's probe changes next.

A kubelet probes every few seconds and counts equal results in a row. While the result stays the same, all rounds can
be counted at once; the only relevant round is the one that reaches a threshold. A `Prober` is therefore called when the
result changes and returns when to call it next: a ready pod without changes costs nothing. Only if each result is
random (`passing` is None) is every round evaluated, by `observe`.

A round at the very time of a change sees the new result. A result is immediate: `timeoutSeconds` matters only for an
engine that never responds, and such a round counts as failed when it begins.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["startup", "readiness", "liveness"]
INITIAL: Mapping[Role, bool | None] = {"startup": None, "readiness": False, "liveness": True}
"""Result before the first threshold (kubelet's `prober/worker.go`); None is neither."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe of a container, times in seconds; defaults as in Kubernetes docs, "Configure Probes"."""

    role: Role
    initial_delay: float = 0.0
    period: float = 10.0
    success: int = 1
    failure: int = 3
    path: str = ""
    """Path of an HTTP probe; empty for one that only opens the port or runs a command."""
    port: int | str = ""
    """Number or name; empty for a command."""
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, role: Role, manifest: Mapping[str, Any]) -> "Probe":
        """Return the probe of a manifest (`readinessProbe` and others)."""
        http, tcp = manifest.get("httpGet") or {}, manifest.get("tcpSocket") or {}
        headers = ((str(h["name"]).lower(), str(h.get("value", ""))) for h in http.get("httpHeaders") or ())
        return cls(
            role=role,
            initial_delay=float(manifest.get("initialDelaySeconds") or 0),
            period=float(manifest.get("periodSeconds") or 10),
            success=int(manifest.get("successThreshold") or 1),
            failure=int(manifest.get("failureThreshold") or 3),
            path=str(http.get("path") or "/") if http else "",
            port=http.get("port", "") or tcp.get("port", ""),
            headers=tuple(headers),
        )


class Prober:
    """Counts the rounds of one probe during one run of a container.

    Rounds are at `origin` + initial delay + k · period, without those before `not_before` (readiness and liveness wait
    for the startup probe).
    """

    __slots__ = ("_first", "_last", "_next", "_run", "passing", "probe", "result")

    def __init__(self, probe: Probe, origin: float, passing: bool | None, *, not_before: float = 0.0) -> None:
        self.probe = probe
        self.result: bool | None = INITIAL[probe.role]
        """Present result of the probe."""
        self.passing = passing
        """Result of a round now; None if each is random."""
        self._first = origin + probe.initial_delay
        self._next = self._index_at(max(not_before, origin))
        self._last: bool | None = None
        self._run = 0

    def change(self, now: float, passing: bool | None) -> bool:
        """Set the result of rounds from `now` on. Return True if the probe's result has changed before."""
        flipped = self._count(self._index_at(now))
        self.passing = passing
        return flipped

    def due(self) -> float | None:
        """Return when to call `reach` (`observe` if results are random) next; None if nothing changes."""
        if self.passing is None:
            return self._time(self._next)
        if self.passing == self.result:
            return None
        run = self._run if self._last == self.passing else 0
        return self._time(self._next + max(1, self._threshold(self.passing) - run) - 1)

    def reach(self, now: float) -> bool:
        """Count the rounds up to and including `now`. Return True if the probe's result has changed."""
        index = self._index_at(now)
        return self._count(index + 1 if self._time(index) <= now else index)

    def observe(self, passed: bool) -> bool:
        """Count one round with a random result. Return True if the probe's result has changed."""
        self._next += 1
        return self._add(passed, 1)

    def _count(self, upto: int) -> bool:
        rounds = upto - self._next
        if rounds <= 0 or self.passing is None:
            return False
        self._next = upto
        return self._add(self.passing, rounds)

    def _add(self, passed: bool, rounds: int) -> bool:
        self._run = self._run + rounds if self._last == passed else rounds
        self._last = passed
        if passed == self.result or self._run < self._threshold(passed):
            return False
        self.result = passed
        return True

    def _threshold(self, passed: bool) -> int:
        return self.probe.success if passed else self.probe.failure

    def _time(self, index: int) -> float:
        return self._first + index * self.probe.period

    def _index_at(self, time: float) -> int:
        """Return the first round at or after `time`, exact despite the rounding of the division."""
        index = max(0, math.ceil((time - self._first) / self.probe.period))
        while index > 0 and self._time(index - 1) >= time:
            index -= 1
        while self._time(index) < time:
            index += 1
        return index
