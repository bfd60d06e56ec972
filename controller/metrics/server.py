"""`/metrics`, `/healthz` and `/readyz`, on a port of their own.

Four routes and one method need no web framework: a few lines on asyncio's streams do, in the operator's own event
loop, so that a loop that hangs fails its liveness probe. Nothing here changes anything, and nobody is asked who he is.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from prometheus_client.exposition import choose_encoder

from controller.metrics.instruments import Metrics

Check = Callable[[], str]
"""What is wrong, in a few words that hold no secret; empty if all is well."""

_PATIENCE = 10.0
"""Seconds that a client has for its request, and for taking the answer."""
_LONGEST_HEAD = 16384
"""Bytes."""
_TEXT = "text/plain; charset=utf-8"


@asynccontextmanager
async def probes(
    metrics: Metrics, alive: Check, ready: Check, *, port: int, host: str = "0.0.0.0"
) -> AsyncIterator[int]:
    """Serves the routes while the context lasts; gives the port (one that is free, if `port` is 0).

    Raises:
        OSError: the port cannot be had.
    """
    pages = _Pages(metrics, alive, ready)
    server = await asyncio.start_server(pages.connected, host, port, limit=_LONGEST_HEAD)
    async with server:
        yield server.sockets[0].getsockname()[1]


class _Pages:
    """Answers one request a connection."""

    def __init__(self, metrics: Metrics, alive: Check, ready: Check) -> None:
        self._metrics = metrics
        self._checks = {"/healthz": alive, "/readyz": ready}

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # a client that does not speak, or left: nobody is there to be told
        finally:
            writer.close()

    def _answer(self, head: bytes) -> bytes:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, _, rest = first.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if method not in ("GET", "HEAD"):
            return _response(method, 405, "only GET and HEAD\n", "Allow: GET, HEAD\r\n")
        if path == "/metrics":
            headers = {
                name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            encode, content_type = choose_encoder(headers.get("accept", ""))
            return _response(method, 200, encode(self._metrics.registry), f"Content-Type: {content_type}\r\n")
        check = self._checks.get(path)
        if check is None:
            return _response(method, 404, "there are /metrics, /healthz and /readyz\n")
        wrong = check()
        return _response(method, 503, f"{wrong}\n") if wrong else _response(method, 200, "ok\n")


_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


def _response(method: str, status: int, body: str | bytes, headers: str = f"Content-Type: {_TEXT}\r\n") -> bytes:
    data = body.encode() if isinstance(body, str) else body
    if "Content-Type" not in headers:
        headers += f"Content-Type: {_TEXT}\r\n"
    head = f"HTTP/1.1 {status} {_REASONS[status]}\r\n{headers}Content-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    return head.encode() + (b"" if method == "HEAD" else data)
