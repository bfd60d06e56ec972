"""Socket addresses: `HOST:PORT` as text, and sockets bound to them."""

import socket

from formats.errors import FormatError, quoted

ANY_HOST = "0.0.0.0"
_ALLOWED = "HOST:PORT, [IPV6]:PORT, or :PORT for every interface"
_HIGHEST_PORT = 65535


def parse_address(text: str, *, default_host: str = ANY_HOST, default_port: int | None = None) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`.

    Args:
        text: the address; an IPv6 host needs brackets.
        default_host: the host where the text has none.
        default_port: the port where the text has none; without it the port is required.

    Raises:
        FormatError: if `text` is not an address.
    """
    host, colon, port = text.rpartition(":")
    if default_port is not None and (not colon or text.endswith("]")):
        host, port = text, str(default_port)
    elif not colon:
        raise FormatError(f"{quoted(text)} is not an address: the port is missing", _ALLOWED)
    if not (port.isascii() and port.isdecimal() and int(port) <= _HIGHEST_PORT):
        raise FormatError(f"{quoted(text)} is not an address: the port must be 0 to {_HIGHEST_PORT}", _ALLOWED)
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise FormatError(f"{quoted(text)} is not an address: an IPv6 host needs brackets", _ALLOWED)
    return host.removeprefix("[").removesuffix("]") or default_host, int(port)


def format_address(host: str, port: int) -> str:
    """Return `host:port`, with brackets around an IPv6 host."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bind(host: str, port: int) -> socket.socket:
    """Return a TCP socket bound to a numeric address, not yet listening; port 0 picks a free one.

    Raises:
        OSError: if the address cannot be bound.
    """
    return _bind(socket.AF_INET6 if ":" in host else socket.AF_INET, (host, port))


def bind_all(host: str, port: int) -> list[socket.socket]:
    """Return a TCP socket for each address that the host name resolves to, bound and not yet listening.

    Raises:
        OSError: if the name cannot be resolved, or an address cannot be bound.
    """
    resolved = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(resolved):
            sockets.append(_bind(family, address, only_ipv6=True))
    except OSError:
        for opened in sockets:
            opened.close()
        raise
    return sockets


def _bind(family: int, address: tuple[object, ...], *, only_ipv6: bool = False) -> socket.socket:
    # asyncio sets TCP_NODELAY only on sockets with a named protocol; without it small responses are 40 ms late.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if only_ipv6 and family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    bound.setblocking(False)
    return bound
