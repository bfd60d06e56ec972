"""Transport that connects only where an egress guard allows."""

import asyncio
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from controller.sidecar.artifacts.egress_guard import EgressGuard

_KEPT = 5.0
"""Seconds that an idle connection to a store is kept, as httpx does by default."""


def guarded_transport(guard: EgressGuard) -> httpx.AsyncHTTPTransport:
    """Return a transport that connects only where `guard` allows, without proxies from the environment."""
    transport = httpx.AsyncHTTPTransport()
    transport._pool = httpcore.AsyncConnectionPool(  # httpx has no parameter for a network backend
        ssl_context=httpx.create_ssl_context(),
        max_connections=100,
        keepalive_expiry=_KEPT,
        network_backend=_GuardedBackend(guard),
    )
    return transport


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves and checks a host and connects to the checked address. TLS still verifies the host name."""

    def __init__(self, guard: EgressGuard) -> None:
        self._guard = guard
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._guard.resolve(host, port)
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"{host} was not resolved in time") from None
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from None
        last_error: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last_error = error
        raise last_error

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
