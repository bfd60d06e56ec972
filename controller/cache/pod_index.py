"""The enabled pods that a selector matches, and which of them can be chosen when. Kept as long as none of them changes.

Pods change seldom and adapters ask often: a thousand pods that get ready while two thousand adapters wait would
otherwise be gone through a thousand times two thousand times. What is computed here is computed once a change, or once
a moment at which another pod has been ready for long enough.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from math import inf
from typing import overload

from controller.cache.pod_view import PodView

_NEARLY = 1e-5
"""Seconds before a moment in which nothing is kept: what is due within a microsecond is due (`PodView.stable`)."""


class PodIndex(Sequence[PodView]):
    """Pods by name, in order. Nobody mutates it."""

    def __init__(self, pods: Iterable[PodView]) -> None:
        self._pods = tuple(sorted(pods, key=lambda pod: pod.name))
        self._stable: tuple[PodView, ...] = ()
        self._stable_for = 0.0
        self._since, self._until = inf, -inf
        """When `_stable` is right."""

    def __len__(self) -> int:
        return len(self._pods)

    def __iter__(self) -> Iterator[PodView]:
        return iter(self._pods)

    @overload
    def __getitem__(self, at: int) -> PodView: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[PodView]: ...
    def __getitem__(self, at: int | slice) -> PodView | Sequence[PodView]:
        return self._pods[at]

    @cached_property
    def named(self) -> dict[str, PodView]:
        """By name."""
        return {pod.name: pod for pod in self._pods}

    @cached_property
    def beside_sidecars(self) -> "PodIndex":
        """Those that have the runtime sidecar."""
        return PodIndex(pod for pod in self._pods if pod.sidecar)

    def stable(self, now: float, stable_for: float) -> Sequence[PodView]:
        """Those that can be chosen now."""
        if stable_for != self._stable_for or not self._since <= now < self._until:
            self._stable = tuple(pod for pod in self._pods if pod.stable(now, stable_for))
            self._stable_for, self._since = stable_for, now
            self._until = next((moment for moment, _ in self.becoming_stable(now, stable_for)), inf) - _NEARLY
        return self._stable

    def becoming_stable(self, now: float, stable_for: float) -> Iterator[tuple[float, str]]:
        """Moments after now at which more can be, and which; in order."""
        start = bisect_left(self._ready, (now - stable_for - _NEARLY, ""))
        for changed, name in self._ready[start:]:
            if changed + stable_for > now:
                yield changed + stable_for, name

    @cached_property
    def _ready(self) -> Sequence[tuple[float, str]]:
        """When those that are ready became so, in order."""
        return sorted((pod.changed, pod.name) for pod in self._pods if pod.ready and not pod.terminating)


NOBODY = PodIndex(())
