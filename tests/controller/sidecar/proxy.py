"""A TCP proxy that closes connections in the middle of a response; not a test."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Proxy:
    """The proxy; `cuts`: bytes of a response after which a connection is closed, one entry per connection."""

    port: int = 0
    cuts: list[int] = field(default_factory=list)
    carried: int = 0
    """Bytes from the server."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def cutting_proxy(target: int) -> Iterator[Proxy]:
    state = Proxy()
    listener = socket.create_server(("127.0.0.1", 0))
    state.port = listener.getsockname()[1]
    threading.Thread(target=_accept, args=(listener, target, state), daemon=True).start()
    try:
        yield state
    finally:
        listener.close()


def _accept(listener: socket.socket, target: int, state: Proxy) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        server = socket.create_connection(("127.0.0.1", target))
        threading.Thread(target=_carry, args=(client, server, None), daemon=True).start()
        threading.Thread(target=_carry, args=(server, client, state), daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket, state: Proxy | None) -> None:
    """Copy until either end closes; a long response of the server may be cut."""
    carried = 0
    try:
        while data := source.recv(1 << 14):
            carried += len(data)
            if state is not None:
                state.carried += len(data)
                if state.cuts and carried > state.cuts[0]:
                    state.cuts.pop(0)
                    break
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        _shut(end)


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
