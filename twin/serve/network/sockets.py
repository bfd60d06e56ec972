"""ASGI applications on sockets of this process's own event loop, with uvicorn's protocols.

uvicorn's `Server` is not used: it installs signal handlers and sleeps during shutdown, and here one loop has many
listeners that come and go with the engines behind them.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from formats.sockets import bind, format_address

_BACKLOG = 1024
_KEEP_ALIVE = 75  # seconds that an idle connection is kept; nginx's default
_SHUTDOWN_GRACE = 0.5  # seconds for responses in progress when the server stops


def _is_failure(record: logging.LogRecord) -> bool:
    """Return False for a response that `Listener.close` has cancelled, which uvicorn logs with a traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


logging.getLogger("uvicorn.error").addFilter(_is_failure)


class Listener:
    """One application on any number of addresses."""

    def __init__(self, app: ASGIApp, *, tls: ssl.SSLContext | None = None) -> None:
        self._config = uvicorn.Config(
            app,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE,
        )
        self._config.load()
        self._state = ServerState()
        self._tls = tls
        self._servers: dict[tuple[str, int], asyncio.Server] = {}

    async def open(self, host: str, port: int) -> "Address":
        """Listen at an address; port 0 is any free port.

        Raises:
            OSError: the address is not available.
        """
        return await self.adopt(bind(host, port))

    async def adopt(self, sock: socket.socket) -> "Address":
        """Listen on a socket that is already bound."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._protocol, sock=sock, ssl=self._tls, backlog=_BACKLOG)
        name = sock.getsockname()
        host, port = str(name[0]), int(name[1])
        self._servers[host, port] = server
        return Address(host, port, tls=self._tls is not None)

    def stop_listening(self, host: str, port: int) -> None:
        """Stop listening at an address: new connections are refused, open ones stay."""
        server = self._servers.pop((host, port), None)
        if server is not None:
            server.close()

    async def close(self) -> None:
        """Stop listening everywhere; responses in progress get a short grace period."""
        for server in self._servers.values():
            server.close()
        self._servers.clear()
        for connection in list(self._state.connections):
            connection.shutdown()
        if tasks := set(self._state.tasks):
            await asyncio.wait(tasks, timeout=_SHUTDOWN_GRACE)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _protocol(self) -> asyncio.Protocol:
        """Return the protocol of a connection; its transport is in `scope["state"]["connection"]`."""
        kind: Any = self._config.http_protocol_class
        shared: dict[str, Any] = {}
        protocol: Any = kind(config=self._config, server_state=self._state, app_state=shared)
        shared["connection"] = lambda: protocol.transport
        handled: asyncio.Protocol = protocol
        return handled


@dataclass(frozen=True, slots=True)
class Address:
    """An address at which something listens."""

    host: str
    port: int
    tls: bool = False

    @property
    def authority(self) -> str:
        """Host and port."""
        return format_address(self.host, self.port)

    @property
    def url(self) -> str:
        """The address as a URL."""
        return f"{'https' if self.tls else 'http'}://{self.authority}"


@asynccontextmanager
async def listening(
    app: ASGIApp, sock: socket.socket | None = None, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Address]:
    """Serve an application on a socket (any free port of 127.0.0.1 by default) for as long as the block lasts."""
    listener = Listener(app, tls=tls)
    try:
        yield await listener.adopt(sock or bind("127.0.0.1", 0))
    finally:
        await listener.close()
