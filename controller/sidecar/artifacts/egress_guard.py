"""Guard against server-side request forgery: no connections to the own pod or to a cloud's metadata service.

The author of a ModelAdapter chooses the URL, and the sidecar fetches it from inside the cluster. Every address is
checked when the connection is opened, after name resolution (a second resolution could return another address), and for
each redirect. Private networks are allowed, since a cluster's own store is there. `--allow-network` allows others.
"""

import asyncio
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from controller.sidecar.errors import Code, SidecarError

Network = IPv4Network | IPv6Network

_METADATA = tuple(
    ip_network(text)
    for text in (
        "100.100.100.200/32",  # Alibaba Cloud
        "100.96.0.96/32",  # Volcengine
        "168.63.129.16/32",  # Azure's host
        "192.0.0.192/32",  # Oracle Cloud
        "fd00:ec2::/32",  # AWS: instance metadata, pod identities, DNS and time (IPv4: 169.254.0.0/16, link-local)
        "fd20:ce::/32",  # Google Cloud
        "fd00:42::/32",  # Scaleway
        "fd00:c1::/32",  # Oracle Cloud
    )
)
_NAT64 = tuple(ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48"))
"""Prefixes of RFC 6052 and RFC 8215; the last 32 bits are an IPv4 address."""
_ISATAP = 0x00005EFE


@dataclass(frozen=True, slots=True)
class EgressGuard:
    """Decides which addresses the sidecar may connect to."""

    allowed: tuple[Network, ...] = ()

    def permits(self, address: str) -> bool:
        """Connections to this address are allowed."""
        try:
            parsed = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        inner = _inner(parsed)
        if any(inner in network for network in self.allowed if network.version == inner.version):
            return True
        special = inner.is_loopback or inner.is_link_local or inner.is_multicast or inner.is_unspecified
        reserved = inner.is_reserved or (isinstance(inner, IPv4Address) and inner in ip_network("0.0.0.0/8"))
        metadata = any(inner in network for network in _METADATA if network.version == inner.version)
        return not (special or reserved or metadata)

    async def resolve(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host.

        Raises:
            SidecarError: if one of them is not permitted.
            OSError: if the name cannot be resolved.
        """
        return await asyncio.to_thread(self.resolve_blocking, host, port)

    def resolve_blocking(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host, as `resolve` does; for threads of client libraries."""
        try:
            resolved = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        except (UnicodeError, ValueError, OverflowError):
            raise OSError("not a valid host name or port") from None
        addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in resolved))
        if not all(self.permits(address) for address in addresses):
            raise SidecarError(
                Code.ADDRESS_REFUSED,
                f"{host} is not an allowed address (it belongs to this pod, the node or a metadata service); "
                "allow its network with --allow-network if it is intended",
            )
        return addresses

    async def check(self, url: str) -> None:
        """Check an endpoint for a client library that opens its own connections.

        Raises:
            SidecarError: if it is not permitted, not an http(s) URL or cannot be resolved.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            parts, port = urlsplit(""), 0
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise SidecarError(Code.CREDENTIALS_INVALID, "`endpoint` must be an http(s) URL without user and password")
        try:
            await self.resolve(parts.hostname, port)
        except OSError:
            raise SidecarError(Code.STORE_UNAVAILABLE, f"the name {parts.hostname} cannot be resolved") from None


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return parsed networks.

    Raises:
        ValueError: if one is not a network; the message has its text.
    """
    return tuple(ip_network(text, strict=False) for text in texts)


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address embeds, else the address itself."""
    if isinstance(address, IPv6Address):
        wrapped = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if wrapped is None and (any(address in network for network in _NAT64) or _is_isatap(address)):
            wrapped = IPv4Address(int(address) & 0xFFFFFFFF)
        return wrapped or address
    return address


def _is_isatap(address: IPv6Address) -> bool:
    """Return whether the interface identifier is ISATAP's (RFC 5214): 0000:5efe or 0200:5efe, then the address."""
    return int(address) >> 32 & 0xFDFFFFFF == _ISATAP
