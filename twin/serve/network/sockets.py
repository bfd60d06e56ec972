"""ASGI applications on sockets of this process's own event loop, with uvicorn's protocols.

uvicorn's own `Server` is left out: it takes over signals and sleeps while it shuts down, and here one loop has many
listeners, that come and go with the engines behind them.
"""

import asyncio
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
_FAREWELL = 0.5  # seconds that answers under way get when the server goes


class Listener:
    """One application; any number of addresses."""

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
        """Listens; port 0 is any that is free.

        Raises:
            OSError: the address cannot be had.
        """
        return await self.adopt(bind(host, port))

    async def adopt(self, sock: socket.socket) -> "Address":
        """Listens on a socket that is bound already."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._protocol, sock=sock, ssl=self._tls, backlog=_BACKLOG)
        place = sock.getsockname()
        found = (str(place[0]), int(place[1]))
        self._servers[found] = server
        return Address(found[0], found[1], tls=self._tls is not None)

    def shut(self, host: str, port: int) -> None:
        """Listens there no more: connections that are open stay, new ones are refused."""
        server = self._servers.pop((host, port), None)
        if server is not None:
            server.close()

    async def close(self) -> None:
        """Ends everything: new connections are refused, answers under way get a moment."""
        for server in self._servers.values():
            server.close()
        self._servers.clear()
        for connection in list(self._state.connections):
            connection.shutdown()
        if tasks := set(self._state.tasks):
            await asyncio.wait(tasks, timeout=_FAREWELL)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _protocol(self) -> asyncio.Protocol:
        """For one connection; the application finds the way to its transport in `scope["state"]["connection"]`."""
        kind: Any = self._config.http_protocol_class
        shared: dict[str, Any] = {}
        protocol: Any = kind(config=self._config, server_state=self._state, app_state=shared)
        shared["connection"] = lambda: protocol.transport
        handled: asyncio.Protocol = protocol
        return handled


@dataclass(frozen=True, slots=True)
class Address:
    """Where something listens."""

    host: str
    port: int
    tls: bool = False

    @property
    def place(self) -> str:
        """Host and port."""
        return format_address(self.host, self.port)

    @property
    def url(self) -> str:
        """As clients write it."""
        return f"{'https' if self.tls else 'http'}://{self.place}"


@asynccontextmanager
async def listening(
    app: ASGIApp, sock: socket.socket | None = None, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Address]:
    """An application at a socket (any free port of 127.0.0.1 if there is none), for as long as the block lasts."""
    listener = Listener(app, tls=tls)
    try:
        yield await listener.adopt(sock or bind("127.0.0.1", 0))
    finally:
        await listener.close()
