"""The enabled pods that a selector matches, and when each can be selected. Immutable until one of the pods changes.

Pods change rarely and adapters ask often: otherwise, a thousand pods that become ready while two thousand adapters wait
would be scanned two million times. Each property is computed once per change, or once per time at which another pod
becomes stable.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from math import inf
from typing import overload

from controller.cache.pod_view import PodView

_MARGIN = 1e-5
"""Seconds before the next change in which nothing is cached: `PodView.stable` has a tolerance of a microsecond."""


class PodIndex(Sequence[PodView]):
    """Pods in order of name."""

    def __init__(self, pods: Iterable[PodView]) -> None:
        self._pods = tuple(sorted(pods, key=lambda pod: pod.name))
        self._stable: tuple[PodView, ...] = ()
        self._stable_for = 0.0
        self._since, self._until = inf, -inf
        """Period for which `_stable` is valid."""

    def __len__(self) -> int:
        return len(self._pods)

    def __iter__(self) -> Iterator[PodView]:
        return iter(self._pods)

    @overload
    def __getitem__(self, index: int) -> PodView: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[PodView]: ...
    def __getitem__(self, index: int | slice) -> PodView | Sequence[PodView]:
        return self._pods[index]

    @cached_property
    def by_name(self) -> dict[str, PodView]:
        """The pods by name."""
        return {pod.name: pod for pod in self._pods}

    @cached_property
    def with_sidecar(self) -> "PodIndex":
        """The pods that have the runtime sidecar."""
        return PodIndex(pod for pod in self._pods if pod.sidecar)

    @cached_property
    def base_names(self) -> frozenset[str]:
        """Names of the base models that the pods' command lines set."""
        return frozenset(name for pod in self._pods for name in pod.base_names)

    def stable(self, now: float, stable_for: float) -> Sequence[PodView]:
        """Return the pods that can be selected now."""
        if stable_for != self._stable_for or not self._since <= now < self._until:
            self._stable = tuple(pod for pod in self._pods if pod.stable(now, stable_for))
            self._stable_for, self._since = stable_for, now
            self._until = next((time for time, _ in self.becoming_stable(now, stable_for)), inf) - _MARGIN
        return self._stable

    def becoming_stable(self, now: float, stable_for: float) -> Iterator[tuple[float, str]]:
        """Yield (time after now at which a pod can be selected, its name), in order."""
        start = bisect_left(self._ready, (now - stable_for - _MARGIN, ""))
        for changed, name in self._ready[start:]:
            if changed + stable_for > now:
                yield changed + stable_for, name

    @cached_property
    def _ready(self) -> Sequence[tuple[float, str]]:
        """(time of becoming ready, name) of the available pods, in order."""
        return sorted((pod.changed, pod.name) for pod in self._pods if pod.available)


EMPTY = PodIndex(())
