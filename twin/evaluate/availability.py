"""Time in which adapters had an endpoint: all together, and of the adapter and the namespace that fared worst."""

from collections import Counter
from collections.abc import Mapping

_FEWEST_SECONDS = 60.0
"""Seconds of an adapter whose share is a measure; with fewer it is chance."""


class Availability:
    """Seconds by adapter (`namespace/name`): with and without an endpoint, once it has been Running."""

    def __init__(self) -> None:
        self.present = 0.0
        self.unavailable = 0.0
        self._present: Counter[str] = Counter()
        self._unavailable: Counter[str] = Counter()

    def add(self, adapter: str, seconds: float, *, available: bool) -> None:
        """Add a period of an adapter."""
        self.present += seconds
        self._present[adapter] += seconds  # type: ignore[assignment]
        if not available:
            self.unavailable += seconds
            self._unavailable[adapter] += seconds  # type: ignore[assignment]

    def worst(self) -> dict[str, float | None]:
        """Return the share of time of the adapter and of the namespace with the lowest."""
        long = {adapter: seconds for adapter, seconds in self._present.items() if seconds >= _FEWEST_SECONDS}
        spaces = _by_namespace(self._present)
        return {
            "adapter": _lowest(long, self._unavailable),
            "namespace": _lowest(spaces, _by_namespace(self._unavailable)),
        }


def _by_namespace(seconds: Mapping[str, float]) -> Counter[str]:
    result: Counter[str] = Counter()
    for adapter, value in seconds.items():
        result[adapter.partition("/")[0]] += value  # type: ignore[assignment]
    return result


def _lowest(present: Mapping[str, float], unavailable: Mapping[str, float]) -> float | None:
    shares = (1 - unavailable.get(name, 0.0) / seconds for name, seconds in present.items() if seconds > 0)
    return min((round(share, 6) for share in shares), default=None)
