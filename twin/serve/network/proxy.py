"""A request that came in on a socket, handed to the simulated network, and what became of it.

The network already knows what an engine answers and how each fault looks to an `httpx` client; here that is turned back
into what a socket shows: an answer, a connection that is reset, one that is closed, or silence.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)
_SET_ANEW = frozenset(("host", "content-length", "proxy-authorization"))
_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s; closing sends a reset


@dataclass(frozen=True, slots=True)
class ProxiedRequest:
    """A request, read whole."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    def to(self, host: str, port: int) -> httpx.Request:
        """The same request, to that address."""
        place = f"[{host}]" if ":" in host else host
        url = f"http://{place}:{port}{self.path}" + (f"?{self.query}" if self.query else "")
        headers = {name: text for name, text in self.headers.items() if name not in _HOP_BY_HOP | _SET_ANEW}
        return httpx.Request(self.method, url, headers=headers, content=self.body)


async def read(scope: Scope, receive: Receive) -> ProxiedRequest:
    """The request that an ASGI server hands over."""
    incoming = Request(scope, receive)
    try:
        body = await incoming.body()
    except ClientDisconnect:
        body = b""
    return ProxiedRequest(
        incoming.method, scope["path"], scope["query_string"].decode("latin-1"), dict(incoming.headers), body
    )


async def forward(
    transport: httpx.AsyncBaseTransport, request: httpx.Request, receive: Receive
) -> httpx.Response | None:
    """What comes back; None if the client hung up first.

    Raises:
        httpx.TransportError: as the network shows it.
    """
    work = asyncio.ensure_future(transport.handle_async_request(request))
    gone = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        return work.result() if work.done() else None
    finally:
        for task in (work, gone):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError, httpx.TransportError):
            await work


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def send_response(response: httpx.Response, scope: Scope, send: Send) -> None:
    """An answer, as it comes; one that breaks off ends the connection."""
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in response.headers.items()
        if name.lower() not in _HOP_BY_HOP
    ]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    try:
        if response.is_stream_consumed:  # it was there at once
            await send({"type": "http.response.body", "body": response.content})
            return
        async for chunk in response.aiter_raw():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except httpx.TransportError:
        cut(scope, reset=False)
        return
    finally:
        await response.aclose()
    await send({"type": "http.response.body", "body": b""})


def cut(scope: Scope, *, reset: bool) -> None:
    """Ends the connection without an answer: closed in order, or with a reset as of a process that died."""
    transport: Any = scope["state"]["connection"]()
    if reset:
        raw = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        transport.abort()
    else:
        transport.close()
