"""A server's port: uvicorn, and what faults do to real connections.

uvicorn knows its connections and its listening sockets; so a port can be closed while the process goes on, and a
connection can be torn down with a reset instead of an orderly end.
"""

import asyncio
import contextlib
import resource
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from formats.sockets import bind_all

GRACE = 5  # seconds that streams have to end after SIGTERM; a pod's grace is 30 s, and probes have to be told off first
KEEP_ALIVE = 5  # seconds; vLLM, vllm/envs.py: VLLM_HTTP_TIMEOUT_KEEP_ALIVE
_ABORT = struct.pack("ii", 1, 0)  # SO_LINGER on, for no time at all: closing sends RST
_BACKLOG = 2048


class SocketServer(uvicorn.Server):
    """Serves an ASGI application on one address."""

    def __init__(self, app: Callable[..., Any], host: str, port: int, *, ends_on_signals: bool = True) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                lifespan="off",
                ws="none",
                log_level="critical",
                access_log=False,
                backlog=_BACKLOG,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=GRACE,
            )
        )
        self.servers = []
        self._sockets: list[socket.socket] = []
        self._number = 0
        self._ends_on_signals = ends_on_signals
        self._wanted = True
        self._changing: asyncio.Task[None] | None = None

    @property
    def number(self) -> int:
        """The port's number, once it is bound."""
        return self._number

    def bind(self) -> None:
        """Take the address, so that nobody else can.

        Raises:
            OSError: if it cannot be had.
        """
        self._sockets = bind_all(self.config.host, self.config.port)
        self._number = int(self._sockets[0].getsockname()[1])

    async def listen(self) -> None:
        """Serve until told to end; `bind` comes first."""
        await self.serve(sockets=self._sockets)

    def set_accepting(self, wanted: bool) -> None:
        """Close the port, so that connections are refused, or open it again."""
        self._wanted = wanted
        if self._changing is None or self._changing.done():
            self._changing = asyncio.get_running_loop().create_task(self._change())

    def reset_connection(self, client: tuple[str, int] | None) -> None:
        """Tear a client's connection down: he sees a reset."""
        for connection in list(self.server_state.connections):
            if getattr(connection, "client", None) == client:
                _reset(connection.transport)

    def reset_all(self) -> None:
        """Tear all connections down."""
        for connection in list(self.server_state.connections):
            _reset(connection.transport)

    async def _change(self) -> None:
        while self.started and bool(self.servers) is not self._wanted and not self.should_exit:
            if self._wanted:
                await self._open()
            else:
                for server in self.servers:
                    server.close()
                self.servers = []

    async def _open(self) -> None:
        loop, config = asyncio.get_running_loop(), self.config
        try:
            sockets = bind_all(config.host, self._number)
        except OSError:  # somebody else took it meanwhile: tried again a little later
            await asyncio.sleep(0.1)
            return
        for each in sockets:
            self.servers.append(await loop.create_server(self._protocol, sock=each, backlog=_BACKLOG))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self._wanted:
            self.set_accepting(False)

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state={}
        )
        return made

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End in good order on SIGTERM and SIGINT, with exit code 0 as vLLM has; a second one ends at once."""
        loop = asyncio.get_running_loop()
        if not self._ends_on_signals:
            yield
            return
        for each in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ValueError, NotImplementedError):  # not in the main thread: a test's server
                loop.add_signal_handler(each, self._told_to_end)
        yield

    def _told_to_end(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


def raise_limit() -> None:
    """As many open connections as the system allows, which vLLM asks for, too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65535), hard))


def _reset(transport: asyncio.Transport) -> None:
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    transport.abort()
