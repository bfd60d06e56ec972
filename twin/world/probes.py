"""Probes that don't tick: when a container's probe next changes its mind.

A kubelet asks every few seconds and counts equal answers in a row. As long as the answer stays the same, all
those rounds can be counted at once, and the only round that matters is the one at which a threshold is
reached. So a `Prober` is told when the answer changes and says when to come back: a ready pod on a quiet day
costs nothing. Only where each answer is left to chance (`passing` is None) does every round have to be looked
at, through `observe`.

A round at the very moment of a change sees the new answer. An answer is taken to come at once: probes'
`timeoutSeconds` only matters to an engine that never answers, and such a round counts as failed when it begins.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["startup", "readiness", "liveness"]
INITIAL: Mapping[Role, bool | None] = {"startup": None, "readiness": False, "liveness": True}
"""What a probe says before its first threshold (kubelet's `prober/worker.go`); None is neither."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe of a container, times in seconds; defaults as in Kubernetes docs, "Configure Probes"."""

    role: Role
    initial_delay: float = 0.0
    period: float = 10.0
    success: int = 1
    failure: int = 3
    path: str = ""
    """Of an HTTP probe; empty for one that only opens the port or runs a command."""
    port: int | str = ""
    """Number or name; empty for a command."""
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, role: Role, manifest: Mapping[str, Any]) -> "Probe":
        """Reads a container's `readinessProbe` and the like."""
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
    """Counts the rounds of one probe of one container run.

    Rounds are at `origin` + initial delay + k · period; those before `not_before` are left out (readiness and
    liveness wait for the startup probe).
    """

    __slots__ = ("_first", "_last", "_next", "_run", "passing", "probe", "result")

    def __init__(self, probe: Probe, origin: float, passing: bool | None, *, not_before: float = 0.0) -> None:
        self.probe = probe
        self.result: bool | None = INITIAL[probe.role]
        """What the probe says at present."""
        self.passing = passing
        """What a round would find now; None: chance decides at each."""
        self._first = origin + probe.initial_delay
        self._next = self._index_at(max(not_before, origin))
        self._last: bool | None = None
        self._run = 0

    def change(self, now: float, passing: bool | None) -> bool:
        """From `now` on a round finds `passing`. Whether the result has flipped by rounds before `now`."""
        flipped = self._count(self._index_at(now))
        self.passing = passing
        return flipped

    def due(self) -> float | None:
        """When to call `reach` (or, if chance decides, `observe`); None: never, if nothing changes."""
        if self.passing is None:
            return self._time(self._next)
        if self.passing == self.result:
            return None
        run = self._run if self._last == self.passing else 0
        return self._time(self._next + max(1, self._threshold(self.passing) - run) - 1)

    def reach(self, now: float) -> bool:
        """Counts the rounds up to and including `now`; whether the result has flipped."""
        index = self._index_at(now)
        return self._count(index + 1 if self._time(index) <= now else index)

    def observe(self, passed: bool) -> bool:
        """Counts one round whose answer chance has decided; whether the result has flipped."""
        self._next += 1
        return self._note(passed, 1)

    def _count(self, upto: int) -> bool:
        rounds = upto - self._next
        if rounds <= 0 or self.passing is None:
            return False
        self._next = upto
        return self._note(self.passing, rounds)

    def _note(self, passed: bool, rounds: int) -> bool:
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

    def _index_at(self, moment: float) -> int:
        """The first round at or after `moment`; exact, whatever floating point makes of the division."""
        index = max(0, math.ceil((moment - self._first) / self.probe.period))
        while index > 0 and self._time(index - 1) >= moment:
            index -= 1
        while self._time(index) < moment:
            index += 1
        return index
