"""The activator on a socket of the operator."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import httpx
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from controller.activator.activator import Activator
from controller.activator.forwarding import MOST_BYTES, respond
from controller.metrics.server import listen

_HOP_BY_HOP = frozenset(("connection", "keep-alive", "transfer-encoding"))
_WRONG_TARGET = {"message": "The path or the query is not valid.", "type": "BadRequestError", "code": 400}
_TOO_LARGE = {"message": f"The body has more than {MOST_BYTES} bytes.", "type": "BadRequestError", "code": 413}


def serve(
    activator: Callable[[], Activator | None],
    transport: httpx.AsyncBaseTransport,
    address: tuple[str, int],
    shutdown_timeout: float,
) -> AbstractAsyncContextManager[int]:
    """Serve requests while the context lasts; yields the port, a free one if that of `address` is 0.

    Args:
        activator: returns that of the controller while this replica leads.
        transport: to engines.
        address: host and port to listen at.
        shutdown_timeout: seconds for requests in progress at the end.

    Raises:
        OSError: if the address cannot be bound.
    """

    async def answer(request: Request) -> Response:
        try:
            body = await _body(request)
        except ClientDisconnect:
            return Response(status_code=499)
        if body is None:
            return JSONResponse({"error": _TOO_LARGE}, 413)
        try:
            sent = httpx.Request(request.method, _url(request), headers=request.headers.raw, content=body)
        except (httpx.InvalidURL, UnicodeError):
            return JSONResponse({"error": _WRONG_TARGET}, 400)
        response = await respond(activator(), transport, sent)
        return _to_client(response)

    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    app = Starlette(routes=[Route("/{path:path}", answer, methods=methods)])
    return listen(app, host=address[0], port=address[1], shutdown_timeout=shutdown_timeout)


def _url(request: Request) -> httpx.URL:
    """Return the path and query of a request; the Host header may be anything, and is passed on beside it."""
    query = request.scope["query_string"]
    path: bytes = request.scope["raw_path"]
    return httpx.URL(scheme="http", host="activator", raw_path=path + b"?" + query if query else path)


async def _body(request: Request) -> bytes | None:
    """Return the body; None if it is too large to be held."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)


def _to_client(response: httpx.Response) -> Response:
    """Return an answer that is passed on as it arrives."""
    answer = StreamingResponse(_chunks(response), response.status_code)
    answer.raw_headers = [
        (name.lower(), value) for name, value in response.headers.raw if name.lower().decode() not in _HOP_BY_HOP
    ]
    return answer


async def _chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    try:
        if response.is_stream_consumed:
            yield response.content
            return
        async for chunk in response.aiter_raw():
            yield chunk
    finally:
        await response.aclose()
