"""A server that gives hostile answers to all requests, or to a share, and passes the others to an honest server."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random

from tests.adversary.answers import Answer

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CONNECTION = re.compile(rb"\r\nconnection:[^\r]*", re.IGNORECASE)
_LONGEST_HEAD = 1 << 20


@dataclass
class AdversaryServer:
    """Draws an answer for each request.

    Attributes:
        draw: draws a hostile answer.
        upstream: host and port of an honest server without TLS, for the other requests; None: there are no others.
        share: share of requests with a hostile answer, if there is an honest server.
        given: names of the answers so far.
    """

    draw: Callable[[Random], Answer]
    rng: Random
    upstream: tuple[str, int] | None = None
    share: float = 1.0
    given: list[str] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close the connection."""
        with contextlib.suppress(
            OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError
        ):
            request = await self._request(reader)
            if self.upstream is not None and self.rng.random() >= self.share:
                await self._pass_on(request, writer)
            else:
                await self._give(self.draw(self.rng), writer)
        with contextlib.suppress(OSError):
            writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        return head + (await reader.readexactly(int(length[1])) if length else b"")

    async def _give(self, answer: Answer, writer: asyncio.StreamWriter) -> None:
        self.given.append(answer.name)
        for chunk in answer.chunks():
            writer.write(chunk)
            await writer.drain()
            if answer.pause:
                await asyncio.sleep(answer.pause)

    async def _pass_on(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        assert self.upstream is not None
        reader, upstream = await asyncio.open_connection(*self.upstream)
        head, end, body = request.partition(b"\r\n\r\n")
        upstream.write(_CONNECTION.sub(b"", head) + b"\r\nconnection: close" + end + body)
        try:
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
        finally:
            upstream.close()


@asynccontextmanager
async def listening(server: AdversaryServer, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    """Serve; yields the port."""
    listener = await asyncio.start_server(server.handle, host, port, limit=_LONGEST_HEAD)
    try:
        yield int(listener.sockets[0].getsockname()[1])
    finally:
        listener.close()
