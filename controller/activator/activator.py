"""Waits for an adapter to be published, on behalf of a request.

A request is held until a pod is published for its adapter, at most for the timeout. Holding it makes the adapter
wanted; that is remembered until the object says so, so no request is forgotten that this replica has seen.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from controller.activator.wishes import Wishes
from controller.api.labels import ACTIVATOR_LABEL, NAME_LABEL
from controller.api.types import EndpointSlice, ModelAdapter
from controller.cache.cache import Cache

Target = tuple[str, int]
"""IP address and port of an engine."""

MOST_HELD = 1000
"""Requests held at once, with their bodies, by one operator."""
_SOON, _LATER = 5, 30
"""Seconds in `Retry-After` where the adapter is still loading, and where it has failed."""


@dataclass
class HoldError(Exception):
    """A request is not passed on.

    Attributes:
        status: HTTP status for the client.
        message: what is wrong and what to do.
        retry_after: seconds after which the client may try again; 0 if that does not help.
    """

    status: int
    message: str
    retry_after: int = 0


class Activator:
    """Requests of one leader. `held` is called with +1 and -1 when a request begins and ends to wait."""

    def __init__(
        self, cache: Cache, wishes: Wishes, timeout: float, held: Callable[[int], None] = lambda _: None
    ) -> None:
        self._cache = cache
        self._wishes = wishes
        self._timeout = timeout
        self._held = held
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._next = 0
        self._closed = False
        cache.slices.on_change(self._slice_changed)
        cache.adapters.on_change(self._adapter_changed)

    def find(self, model: str, host: str = "") -> str:
        """Return the adapter (`namespace/name`) that a request names; `host`: the Service that it was sent to.

        Raises:
            HoldError: no adapter has that name, or several have it.
        """
        name, _, rest = host.partition(":")[0].partition(".")
        namespace = rest.partition(".")[0] if name == model else ""
        keys = [key for key in sorted(self._cache.on_demand) if key.partition("/")[2] == model]
        if f"{namespace}/{model}" in keys:
            return f"{namespace}/{model}"
        if not keys:
            raise HoldError(404, f"The model `{model}` does not exist, or is not loaded on demand.")
        if len(keys) > 1:
            choices = ", ".join(key.partition("/")[0] for key in keys)
            service = f"http://{model}.NAMESPACE.svc"
            raise HoldError(409, f"The model `{model}` is in several namespaces ({choices}): send it to {service}.")
        return keys[0]

    async def hold(self, key: str) -> Target:
        """Wait until a pod serves the adapter, and return its address.

        Raises:
            HoldError: the adapter is gone or has failed, too many requests wait, or the timeout is over.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        while (target := self._target(key)) is None:
            self._check(key)
            self._wishes.add(key)
            await self._changed(key, deadline - loop.time())
        return target

    def close(self) -> None:
        """Answer all that wait: this replica does not lead any more."""
        self._closed = True
        for key in list(self._waiting):
            self._notify(key)

    async def _changed(self, key: str, seconds: float) -> None:
        """Wait for a change of the adapter or of its endpoints."""
        change = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(change)
        self._held(1)
        try:
            async with asyncio.timeout(seconds):
                await change
        except TimeoutError:
            message = f"The model `{key.partition('/')[2]}` is still being loaded: try again."
            raise HoldError(503, message, _SOON) from None
        finally:
            self._held(-1)
            if change in (changes := self._waiting.get(key, [])):
                changes.remove(change)
                if not changes:
                    del self._waiting[key]

    def _check(self, key: str) -> None:
        """Raise an error if it makes no sense to wait."""
        if self._closed:
            raise HoldError(503, "This operator does not lead any more: try again.", 1)
        adapter, model = self._cache.adapters.get(key), key.partition("/")[2]
        if adapter is None or key not in self._cache.on_demand:
            raise HoldError(404, f"The model `{model}` does not exist any more, or is not loaded on demand.")
        if adapter.status.phase == "Failed":
            raise HoldError(503, f"The model `{model}` cannot be loaded: {_reason(adapter)}", _LATER)
        if sum(map(len, self._waiting.values())) >= MOST_HELD:
            raise HoldError(503, f"{MOST_HELD} requests wait for models already: try again.", _SOON)

    def _target(self, key: str) -> Target | None:
        """Return the next published engine, round-robin; None without one."""
        targets = [target for item in self._cache.slices_of(key) for target in _targets(item)]
        self._next += 1
        return targets[self._next % len(targets)] if targets else None

    def _slice_changed(self, _: EndpointSlice | None, new: EndpointSlice | None) -> None:
        if new is not None and self._waiting:
            self._notify(f"{new.metadata.namespace}/{new.metadata.labels.get(NAME_LABEL, '')}")

    def _adapter_changed(self, old: ModelAdapter | None, new: ModelAdapter | None) -> None:
        adapter = new or old
        assert adapter is not None
        key = adapter.key
        record = self._cache.persisted_state(new).activation if new is not None else None
        if key not in self._cache.on_demand or (record is not None and record.active):
            self._wishes.discard(key)
        if key in self._waiting:
            self._notify(key)

    def _notify(self, key: str) -> None:
        """Let the requests for an adapter look again."""
        for change in self._waiting.pop(key, []):
            if not change.done():
                change.set_result(None)


def _targets(item: EndpointSlice) -> list[Target]:
    """Return the engines in a slice."""
    if ACTIVATOR_LABEL in item.metadata.labels or not item.ports or item.ports[0].port is None:
        return []
    port = item.ports[0].port
    return [(endpoint.addresses[0], port) for endpoint in item.endpoints if endpoint.conditions.ready]


def _reason(adapter: ModelAdapter) -> str:
    """Return the message of the adapter's condition `Ready`."""
    return next((item.message for item in adapter.status.conditions if item.type == "Ready"), "")
