"""Adapters on each pod: as persisted on the objects, and as selected and not persisted yet.

The second part spreads a burst of adapters: a selection is persisted with the first announcement, and until then many
other adapters select.
"""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType


class Occupancy:
    """Adapters by pod (`namespace/name`)."""

    def __init__(self) -> None:
        self._persisted: dict[str, frozenset[str]] = {}
        self._claimed: dict[str, frozenset[str]] = {}
        self._on: dict[str, dict[str, int]] = {}
        self.by_pod: Mapping[str, Collection[str]] = MappingProxyType(self._on)
        """Read-only view."""

    def hold(self, adapter: str, pods: Iterable[str]) -> bool:
        """Set the pods that the object names, none if it is deleted; return whether it left one."""
        before, after = self._persisted.get(adapter, frozenset()), frozenset(pods)
        self._replace(self._persisted, adapter, after)
        return bool(before - after)

    def claim(self, adapter: str, pods: Iterable[str]) -> None:
        """Set the pods that are selected and not persisted; none when they are."""
        self._replace(self._claimed, adapter, frozenset(pods))

    def claimed_in(self, adapter: str, namespace: str) -> tuple[str, ...]:
        """Return the names of the claimed pods, which are in the adapter's namespace."""
        claimed = self._claimed.get(adapter)
        return tuple(sorted(pod[len(namespace) + 1 :] for pod in claimed)) if claimed else ()

    def on(self, pod: str) -> Collection[str]:
        """Return the adapters that occupy the pod."""
        return self._on.get(pod, {}).keys()

    def _replace(self, side: dict[str, frozenset[str]], adapter: str, pods: frozenset[str]) -> None:
        before = side.get(adapter, frozenset())
        if before == pods:
            return
        if pods:
            side[adapter] = pods
        else:
            del side[adapter]
        for pod in pods - before:
            counts = self._on.setdefault(pod, {})
            counts[adapter] = counts.get(adapter, 0) + 1
        for pod in before - pods:
            counts = self._on[pod]
            counts[adapter] -= 1
            if not counts[adapter]:
                del counts[adapter]
            if not counts:
                del self._on[pod]
