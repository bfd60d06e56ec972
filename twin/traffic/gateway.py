"""The gateway: sends a request for an adapter to one of the endpoints of the adapter's own Service.

It routes as gateways in clusters do: by the Service of the model's name, the EndpointSlices whose label names that
Service, and each slice's port, whoever wrote them, without checking that the adapter is loaded there.
Its view of the EndpointSlices lags a little behind the API server. Without an endpoint it refuses the request.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import simpy

from controller.api.labels import SERVICE_LABEL
from twin.apiserver import Change, Store

Address = tuple[str, int]
"""IP address and port."""
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
        self._slices: dict[str, dict[str, tuple[Address, ...]]] = defaultdict(dict)
        self._service_of: dict[str, str] = {}
        """Service by slice, both `namespace/name`."""
        self._endpoints: dict[str, tuple[Address, ...]] = {}
        self._next: Counter[str] = Counter()
        self._busy: Counter[Address] = Counter()
        store.subscribe(self._on_slice, SLICES)

    def pick(self, adapter: str) -> Address | None:
        """Return the endpoint for the next request to an adapter (`namespace/name`); None if there is none."""
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
    def busy(self, address: Address) -> Iterator[None]:
        """Count a request in progress to an address."""
        self._busy[address] += 1
        try:
            yield
        finally:
            self._busy[address] -= 1
            if not self._busy[address]:
                del self._busy[address]

    def _on_slice(self, change: Change) -> None:
        meta = change.object["metadata"]
        deleted = change.type == "DELETED"
        service = "" if deleted else (meta.get("labels") or {}).get(SERVICE_LABEL, "")
        name = f"{meta['namespace']}/{meta['name']}"
        ready = () if deleted else _ready(change)
        key = f"{meta['namespace']}/{service}" if service else ""
        self._env.timeout(self._lag).callbacks.append(lambda _: self._set_endpoints(key, name, ready))

    def _set_endpoints(self, service: str, name: str, ready: tuple[Address, ...]) -> None:
        former = self._service_of.pop(name, "")
        if former:
            del self._slices[former][name]
        if service:
            self._service_of[name] = service
            self._slices[service][name] = ready
        for changed in {former: None, service: None}:
            if changed:
                slices = self._slices[changed]
                addresses = (address for _, addresses in sorted(slices.items()) for address in addresses)
                self._endpoints[changed] = tuple(dict.fromkeys(addresses))


def _ready(change: Change) -> tuple[Address, ...]:
    port = next((item.get("port") or 0 for item in change.object.get("ports") or ()), 0)
    return tuple(
        (endpoint["addresses"][0], port)
        for endpoint in change.object.get("endpoints") or ()
        if endpoint.get("conditions", {}).get("ready", True)
    )
