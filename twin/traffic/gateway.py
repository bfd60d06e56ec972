"""The gateway: a request that names an adapter goes to one of the endpoints of the adapter's own Service.

These are the rules that users know (a model's name in the request, a Service of the same name): the gateway asks
nobody whether the adapter is loaded there. It routes by what it has seen of the EndpointSlices, which is a little
behind the API server. Where there is no endpoint, it says so itself.
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
    """`lag` is in seconds; `balance` one of the scenario's."""

    def __init__(
        self, env: simpy.Environment, store: Store, lag: float, balance: str, rng: np.random.Generator
    ) -> None:
        self._env = env
        self._lag = lag
        self._balance = balance
        self._rng = rng
        self._slices: dict[str, dict[str, tuple[str, ...]]] = defaultdict(dict)
        self._endpoints: dict[str, tuple[str, ...]] = {}
        self._turns: Counter[str] = Counter()
        self._busy: Counter[str] = Counter()
        store.subscribe(self._changed, SLICES)

    def pick(self, adapter: str) -> str | None:
        """The address for the next request for an adapter (`namespace/name`); None if there is none."""
        known = self._endpoints.get(adapter, ())
        if len(known) < 2:
            return known[0] if known else None
        match self._balance:
            case "round-robin":
                self._turns[adapter] += 1
                return known[self._turns[adapter] % len(known)]
            case "random":
                return known[int(self._rng.integers(len(known)))]
        one, other = (known[int(index)] for index in self._rng.permutation(len(known))[:2])
        return one if self._busy[one] <= self._busy[other] else other

    @contextmanager
    def busy(self, ip: str) -> Iterator[None]:
        """A request is under way to an address."""
        self._busy[ip] += 1
        try:
            yield
        finally:
            self._busy[ip] -= 1
            if not self._busy[ip]:
                del self._busy[ip]

    def _changed(self, change: Change) -> None:
        meta = change.object["metadata"]
        labels = meta.get("labels", {})
        if labels.get(MANAGED_BY) != MANAGER:
            return
        adapter = f"{meta['namespace']}/{labels.get(SERVICE_LABEL, '')}"
        ready = () if change.type == "DELETED" else _ready(change)
        self._env.timeout(self._lag).callbacks.append(lambda _: self._seen(adapter, meta["name"], ready))

    def _seen(self, adapter: str, name: str, ready: tuple[str, ...]) -> None:
        self._slices[adapter][name] = ready
        self._endpoints[adapter] = tuple(ip for _, ips in sorted(self._slices[adapter].items()) for ip in ips)


def _ready(change: Change) -> tuple[str, ...]:
    return tuple(
        endpoint["addresses"][0]
        for endpoint in change.object.get("endpoints") or ()
        if endpoint.get("conditions", {}).get("ready", True)
    )
