"""Rate at which nodes of a zone get `NoExecute` taints, by the share of its nodes that is unhealthy.

Source: `ComputeZoneState` and `handleDisruption` in `pkg/controller/nodelifecycle` of Kubernetes 1.36.
"""

from collections.abc import Iterable

from twin.apiserver.meta.objects import Object, is_true

RATE = 0.1  # nodes a second; --node-eviction-rate
REDUCED_RATE = 0.01  # nodes a second; --secondary-node-eviction-rate
LARGE_ZONE = 50  # nodes; --large-cluster-size-threshold
UNHEALTHY = 0.55  # share of a zone's nodes; --unhealthy-zone-threshold
_AT_LEAST = 3  # unhealthy nodes
_REGION, _ZONE = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"


def zone_of(node: Object) -> tuple[str, str]:
    """Return region and zone of a node."""
    labels = node["metadata"].get("labels") or {}
    return labels.get(_REGION, ""), labels.get(_ZONE, "")


def all_are_disrupted(nodes: Iterable[Object]) -> bool:
    """Return True if no node is ready: then the fault is taken to be the control plane's, and nothing is evicted."""
    return not any(is_true(node, "Ready") for node in nodes)


def taint_rate(nodes: Iterable[Object]) -> float:
    """Return the rate for a zone of these nodes, in nodes a second."""
    ready = [is_true(node, "Ready") for node in nodes]
    unhealthy = ready.count(False)
    if unhealthy < _AT_LEAST or unhealthy == len(ready) or unhealthy / len(ready) < UNHEALTHY:
        return RATE
    return REDUCED_RATE if len(ready) > LARGE_ZONE else 0.0


class TaintRates:
    """Token buckets of one token, one for each zone."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], float] = {}

    def next_taint(self, node: Object, nodes: Iterable[Object], now: float) -> float | None:
        """Return when a node may get its taint, in seconds of the simulation; None if none of its zone may.

        The answer `now` takes the token.
        """
        zone = zone_of(node)
        rate = taint_rate(item for item in nodes if zone_of(item) == zone)
        if not rate:
            return None
        allowed = self._last.get(zone, now - 1.0 / rate) + 1.0 / rate
        if allowed <= now:
            self._last[zone] = now
        return max(allowed, now)
