"""Which adapters hold a place on which pod: as the objects say, and as reconciles under way have just chosen.

The second part is why a burst spreads: between choosing a pod and the object saying so lies the latency of a write,
and ten other adapters may choose within it.
"""

from collections.abc import Iterable


class Occupancy:
    """Counts by pod (`namespace/name`)."""

    def __init__(self) -> None:
        self._held: dict[str, frozenset[str]] = {}
        self._claimed: dict[str, frozenset[str]] = {}
        self._on: dict[str, dict[str, int]] = {}

    def hold(self, adapter: str, pods: Iterable[str]) -> None:
        """What the object says; nothing if it is gone."""
        self._replace(self._held, adapter, frozenset(pods))

    def claim(self, adapter: str, pods: Iterable[str]) -> None:
        """What a reconcile has chosen and not yet written; nothing when it has ended."""
        self._replace(self._claimed, adapter, frozenset(pods))

    def on(self, pod: str) -> Iterable[str]:
        """The adapters that hold a place on the pod."""
        return self._on.get(pod, {}).keys()

    def others(self, pod: str, adapter: str) -> int:
        """How many other adapters hold a place on the pod."""
        here = self._on.get(pod)
        return 0 if here is None else len(here) - (adapter in here)

    def _replace(self, side: dict[str, frozenset[str]], adapter: str, pods: frozenset[str]) -> None:
        before = side.get(adapter, frozenset())
        if before == pods:
            return
        if pods:
            side[adapter] = pods
        else:
            del side[adapter]
        for pod in pods - before:
            here = self._on.setdefault(pod, {})
            here[adapter] = here.get(adapter, 0) + 1
        for pod in before - pods:
            here = self._on[pod]
            here[adapter] -= 1
            if not here[adapter]:
                del here[adapter]
            if not here:
                del self._on[pod]
