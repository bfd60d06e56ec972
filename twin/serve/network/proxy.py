"""Forwards a request from a socket to the simulated network and sends the result back.

The network determines the engine's response and how each fault appears to an `httpx` client. Here that is turned into
what a socket shows: a response, a connection that is reset, one that is closed, or silence.
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
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)
_SET_BY_CLIENT = frozenset(("host", "content-length", "proxy-authorization"))
_LINGER_0 = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s; closing sends a reset


@dataclass(frozen=True, slots=True)
class ProxiedRequest:
    """A complete request."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    def to(self, host: str, port: int) -> httpx.Request:
        """Return the same request, addressed to `host` and `port`."""
        name = f"[{host}]" if ":" in host else host
        url = f"http://{name}:{port}{self.path}" + (f"?{self.query}" if self.query else "")
        headers = {key: value for key, value in self.headers.items() if key not in _HOP_BY_HOP | _SET_BY_CLIENT}
        return httpx.Request(self.method, url, headers=headers, content=self.body)


async def read(request: Request) -> ProxiedRequest:
    """Read a request with its body."""
    try:
        body = await request.body()
    except ClientDisconnect:
        body = b""
    query = request.scope["query_string"].decode("latin-1")
    return ProxiedRequest(request.method, request.scope["path"], query, dict(request.headers), body)


async def forward(
    transport: httpx.AsyncBaseTransport, request: httpx.Request, receive: Receive
) -> httpx.Response | None:
    """Send a request and return the response; None if the client disconnects first.

    Raises:
        httpx.TransportError: the request failed on the simulated network.
    """
    sending = asyncio.ensure_future(transport.handle_async_request(request))
    disconnected = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({sending, disconnected}, return_when=asyncio.FIRST_COMPLETED)
        return sending.result() if sending.done() else None
    finally:
        for task in (sending, disconnected):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError, httpx.TransportError):
            await sending


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def send_response(response: httpx.Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a response as it arrives; close the connection if it breaks off."""
    answer: Response
    if response.is_stream_consumed:
        answer = Response(response.content, response.status_code)
    else:
        answer = StreamingResponse(response.aiter_raw(), response.status_code)
    answer.raw_headers = [
        (name.lower(), value) for name, value in response.headers.raw if name.decode().lower() not in _HOP_BY_HOP
    ]
    try:
        await answer(scope, receive, send)
    except httpx.TransportError:
        disconnect(scope, reset=False)
    finally:
        await response.aclose()


def disconnect(scope: Scope, *, reset: bool) -> None:
    """End the connection without a response: close it, or reset it as if the process had died."""
    transport: Any = scope["state"]["connection"]()
    if reset:
        raw = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
        transport.abort()
    else:
        transport.close()
