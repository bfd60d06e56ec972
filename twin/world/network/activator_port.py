"""The activators of the operator's replicas, as clients of the simulated network see them.

Each replica has an address; nothing listens there while its process does not run. A client whose replica crashes sees
a connection that breaks.
"""

import asyncio
from collections.abc import Callable

import httpx

from controller.activator.activator import Activator, HoldError, Target
from controller.activator.forwarding import respond
from controller.settings import ActivatorSettings

PORT = 8000
"""Port of the activators, that of most engines."""


def activator_settings(number: int, timeout: float) -> ActivatorSettings:
    """Return the address of a replica's activator; pods and Services have lower ones."""
    return ActivatorSettings(f"10.255.255.{number + 1}", PORT, timeout)


class ActivatorPort:
    """The activator of one replica."""

    def __init__(self) -> None:
        self._leader: Callable[[], Activator | None] | None = None

    def open(self, leader: Callable[[], Activator | None]) -> None:
        """Listen for a new process; `leader` returns its activator while it leads."""
        self._leader = leader

    def close(self) -> None:
        """Break all connections: the process is gone."""
        self._leader = None

    async def hold(self, adapter: str, latency: float) -> Target:
        """Wait like a request for an adapter (`namespace/name`) that arrives after `latency` seconds.

        Raises:
            HoldError: the activator answers by itself.
            httpx.TransportError: there is no connection, or it breaks.
        """
        await asyncio.sleep(latency)
        leader = self._leader
        activator = self._connected()()
        try:
            if activator is None:
                raise HoldError(503, "This operator does not lead, or has just begun to: try again.", 1)
            return await activator.hold(adapter)
        finally:
            if self._leader is not leader:
                raise httpx.ReadError("connection reset by peer")

    async def respond(self, transport: httpx.AsyncBaseTransport, request: httpx.Request) -> httpx.Response:
        """Return the answer to a request, which is passed on over `transport`.

        Raises:
            httpx.TransportError: there is no connection, or it breaks.
        """
        leader = self._leader
        response = await respond(self._connected()(), transport, request)
        if self._leader is not leader:
            raise httpx.ReadError("connection reset by peer", request=request)
        return response

    def _connected(self) -> Callable[[], Activator | None]:
        if self._leader is None:
            raise httpx.ConnectError("[Errno 111] Connection refused")
        return self._leader
