"""A listening port: uvicorn, and what faults do to real connections.

uvicorn exposes its connections and its listening sockets. So a port can be closed while the process continues, and a
connection can be reset instead of closed.
"""

import asyncio
import contextlib
import resource
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn

_ENDS = 1  # seconds for the last bytes of requests that were aborted, and for what cannot be aborted, such as a load
KEEP_ALIVE = 5  # seconds; vLLM, vllm/envs.py: VLLM_HTTP_TIMEOUT_KEEP_ALIVE
_LINGER_ZERO = struct.pack("ii", 1, 0)  # SO_LINGER with no time: closing sends RST
_BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Drain:
    """End of requests after SIGTERM.

    Attributes:
        timeout: seconds that they have to end (vLLM's `--shutdown-timeout`); None: as long as they take, as in SGLang.
        shut_down: shuts the engine down then.
        waits: connections that are still open after that are waited for, as long as their clients stay.
    """

    timeout: int | None
    shut_down: Callable[[], None]
    waits: bool = False


class SocketServer(uvicorn.Server):
    """Serves an ASGI application on one address. Without a `drain` signals do not end it."""

    def __init__(self, host: str, port: int, *, drain: Drain | None = None) -> None:
        super().__init__(
            uvicorn.Config(
                "",  # set by `listen`
                host=host,
                port=port,
                lifespan="off",
                ws="none",
                log_level="critical",
                access_log=False,
                backlog=_BACKLOG,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=_graceful(drain),
            )
        )
        self.servers = []
        self._sockets: list[socket.socket] = []
        self._number = 0
        self._drain = drain
        self._accepting = True
        self._changing: asyncio.Task[None] | None = None

    @property
    def number(self) -> int:
        """The port's number, once it is bound."""
        return self._number

    def bind(self) -> None:
        """Bind the address.

        Raises:
            OSError: if it is not available.
        """
        self._sockets = _bind(self.config.host, self.config.port)
        self._number = int(self._sockets[0].getsockname()[1])

    async def listen(self, app: Callable[..., Any]) -> None:
        """Serve `app` until the server is stopped; `bind` comes first."""
        self.config.app = app
        await self.serve(sockets=self._sockets)

    def set_accepting(self, accepting: bool) -> None:
        """Close the port, so that connections are refused, or open it again."""
        self._accepting = accepting
        if self._changing is None or self._changing.done():
            self._changing = asyncio.get_running_loop().create_task(self._change())

    def reset_connection(self, client: tuple[str, int] | None) -> None:
        """Reset the connection of a client."""
        for connection in list(self.server_state.connections):
            if getattr(connection, "client", None) == client:
                _reset(connection.transport)

    def reset_all(self) -> None:
        """Reset all connections."""
        for connection in list(self.server_state.connections):
            _reset(connection.transport)

    async def _change(self) -> None:
        while self.started and bool(self.servers) is not self._accepting and not self.should_exit:
            if self._accepting:
                await self._open()
            else:
                for server in self.servers:
                    server.close()
                self.servers = []

    async def _open(self) -> None:
        loop, config = asyncio.get_running_loop(), self.config
        try:
            sockets = _bind(config.host, self._number)
        except OSError:  # another process has the port now: try again later
            await asyncio.sleep(0.1)
            return
        for listener in sockets:
            self.servers.append(await loop.create_server(self._protocol, sock=listener, backlog=_BACKLOG))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self._accepting:
            self.set_accepting(False)

    def _protocol(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state={}
        )
        return protocol

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Shut down gracefully on SIGTERM and SIGINT, with exit code 0 as vLLM; a second signal ends at once."""
        loop = asyncio.get_running_loop()
        if self._drain is None:
            yield
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ValueError, NotImplementedError):  # not in the main thread: a test's server
                loop.add_signal_handler(number, self._on_signal)
        yield

    def _on_signal(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True
        if self._drain is not None and self._drain.timeout is not None:
            asyncio.get_running_loop().call_later(self._drain.timeout, self._drain.shut_down)


def _graceful(drain: Drain | None) -> int | None:
    """Return the seconds after which the server no longer waits for requests."""
    if drain is None:
        return _ENDS
    return None if drain.timeout is None or drain.waits else drain.timeout + _ENDS


def raise_file_limit() -> None:
    """Allow as many open connections as the system permits, as vLLM does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65535), hard))


def _bind(host: str, port: int) -> list[socket.socket]:
    """Return bound sockets for every address of `host`; they do not listen yet."""
    addresses = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # The protocol has to be named: asyncio sets TCP_NODELAY only then, and without it small responses wait 40 ms.
    sockets: list[socket.socket] = []
    for family, _, _, _, address in dict.fromkeys(addresses):
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            listener.bind(address)
        except OSError:
            for opened in (listener, *sockets):
                opened.close()
            raise
        sockets.append(listener)
    return sockets


def _reset(transport: asyncio.Transport) -> None:
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()
