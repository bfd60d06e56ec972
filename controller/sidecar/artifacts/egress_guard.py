"""Where the sidecar may connect to for an artifact: not to its own pod, not to a cloud's metadata service.

An artifact URL is written by whoever may create a ModelAdapter, and the sidecar would fetch it from inside the
cluster's network. So every address is checked when it is connected to, after the name was resolved (a name checked
first and resolved again later could lead elsewhere), for each redirect too. Private networks are allowed: that is
where a cluster's own store is. What is refused can be allowed by network (`--allow-network`).
"""

import asyncio
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx

from controller.sidecar.errors import Code, SidecarError

Network = IPv4Network | IPv6Network

_METADATA = tuple(
    ip_network(text)
    for text in (
        "100.100.100.200/32",  # Alibaba Cloud
        "100.96.0.96/32",  # Volcengine
        "168.63.129.16/32",  # Azure's host
        "fd00:ec2::254/128",  # AWS over IPv6; 169.254.169.254 is link-local
        "192.0.0.192/32",  # Oracle Cloud
    )
)


@dataclass(frozen=True, slots=True)
class EgressGuard:
    """Says which addresses may be connected to."""

    allowed: tuple[Network, ...] = ()

    def permits(self, address: str) -> bool:
        try:
            found = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        inner = _inner(found)
        if any(inner in network for network in self.allowed if network.version == inner.version):
            return True
        special = inner.is_loopback or inner.is_link_local or inner.is_multicast or inner.is_unspecified
        reserved = inner.is_reserved or (isinstance(inner, IPv4Address) and inner in ip_network("0.0.0.0/8"))
        metadata = any(inner in network for network in _METADATA if network.version == inner.version)
        return not (special or reserved or metadata)

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a host, all of them permitted.

        Raises:
            SidecarError: one of them is not.
            OSError: the name is not known.
        """
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        except UnicodeError:
            raise OSError("no valid host name") from None
        addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
        if not all(self.permits(address) for address in addresses):
            raise SidecarError(
                Code.ADDRESS_REFUSED,
                f"{host} is an address that artifacts are not fetched from (this pod, the node's or cloud's own "
                "services); allow its network by --allow-network if that is meant",
            )
        return addresses

    async def check(self, url: str) -> None:
        """Checks an endpoint for a client provider that connects by itself.

        Raises:
            SidecarError: it may not be connected to, is no http(s) URL, or is not known.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            parts, port = urlsplit(""), 0
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise SidecarError(Code.CREDENTIALS_INVALID, "`endpoint` is an http(s) URL without user and password")
        try:
            await self.resolve(parts.hostname, port)
        except OSError:
            raise SidecarError(Code.STORE_UNAVAILABLE, f"the name {parts.hostname} is not known") from None


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Parsed networks.

    Raises:
        ValueError: one of them is none, with a message that says which.
    """
    return tuple(ip_network(text, strict=False) for text in texts)


def guarded_transport(guard: EgressGuard) -> httpx.AsyncHTTPTransport:
    """An ordinary transport that connects where `guard` allows only, and takes no proxy from the environment."""
    transport = httpx.AsyncHTTPTransport()
    transport._pool = httpcore.AsyncConnectionPool(  # httpx has no parameter for a network backend
        ssl_context=httpx.create_ssl_context(), max_connections=100, network_backend=_GuardedBackend(guard)
    )
    return transport


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves, checks, and connects to the very address that was checked. TLS still asks for the host's name."""

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
        failed: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address inside an IPv6 one that only wraps it."""
    if isinstance(address, IPv6Address):
        wrapped = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if wrapped is None and address in ip_network("64:ff9b::/96"):
            wrapped = IPv4Address(int(address) & 0xFFFFFFFF)
        return wrapped or address
    return address
