"""The gateway: sends a request for an adapter to one of the endpoints of the adapter's own Service.

It routes by the name of the model and the Service of the same name, without checking that the adapter is loaded there.
Its view of the EndpointSlices lags a little behind the API server. Without an endpoint it refuses the request.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import simpy

from controller.api.labels import MANAGED_BY, MANAGER, SERVICE_LABEL
from twin.apiserver import Change, Store

SLICES = "endpointslices.discovery.k8s.io"


class Gateway:
    """Routes requests. `lag` is in seconds; `balance` is the scenario's balancing policy."""

    def __init__(
        self, env: simpy.Environment, store: Store, lag: float, balance: str, rng: np.random.Generator
    ) -> None:
        self._env = env
        self._lag = lag
        self._balance = balance
        self._rng = rng
        self._slices: dict[str, dict[str, tuple[str, ...]]] = defaultdict(dict)
        self._endpoints: dict[str, tuple[str, ...]] = {}
        self._next: Counter[str] = Counter()
        self._busy: Counter[str] = Counter()
        store.subscribe(self._on_slice, SLICES)

    def pick(self, adapter: str) -> str | None:
        """Return the address for the next request to an adapter (`namespace/name`); None without an endpoint."""
        addresses = self._endpoints.get(adapter, ())
        if len(addresses) < 2:
            return addresses[0] if addresses else None
        match self._balance:
            case "round-robin":
                self._next[adapter] += 1
                return addresses[self._next[adapter] % len(addresses)]
            case "random":
                return addresses[int(self._rng.integers(len(addresses)))]
        first, second = (addresses[int(index)] for index in self._rng.permutation(len(addresses))[:2])
        return first if self._busy[first] <= self._busy[second] else second

    @contextmanager
    def busy(self, ip: str) -> Iterator[None]:
        """Count a request in progress to an address."""
        self._busy[ip] += 1
        try:
            yield
        finally:
            self._busy[ip] -= 1
            if not self._busy[ip]:
                del self._busy[ip]

    def _on_slice(self, change: Change) -> None:
        meta = change.object["metadata"]
        labels = meta.get("labels", {})
        if labels.get(MANAGED_BY) != MANAGER:
            return
        adapter = f"{meta['namespace']}/{labels.get(SERVICE_LABEL, '')}"
        ready = () if change.type == "DELETED" else _ready(change)
        self._env.timeout(self._lag).callbacks.append(lambda _: self._set_endpoints(adapter, meta["name"], ready))

    def _set_endpoints(self, adapter: str, name: str, ready: tuple[str, ...]) -> None:
        self._slices[adapter][name] = ready
        self._endpoints[adapter] = tuple(ip for _, ips in sorted(self._slices[adapter].items()) for ip in ips)


def _ready(change: Change) -> tuple[str, ...]:
    return tuple(
        endpoint["addresses"][0]
        for endpoint in change.object.get("endpoints") or ()
        if endpoint.get("conditions", {}).get("ready", True)
    )
