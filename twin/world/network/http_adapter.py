"""Converts requests, responses and errors between httpx and the engine's messages."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache

import httpx

from fake_vllm.engine.engine import EngineClosed
from fake_vllm.router import Request, Response, Stream

_NO_ANSWER = "Server disconnected without sending a response."
_BROKEN_OFF = "peer closed connection without sending complete message body (incomplete chunked read)"


def to_engine(request: httpx.Request, path: str) -> Request:
    """Return a request as the engine gets it."""
    headers = _request_headers(tuple(request.headers.raw))
    return Request(request.method, path, headers, request.content, request.url.query.decode())


def to_client(response: Response | Stream, request: httpx.Request) -> httpx.Response:
    """Return a response as the client gets it; a streamed response continues to stream."""
    headers = _response_headers(tuple(response.headers.items()))
    if isinstance(response, Stream):
        return httpx.Response(response.status, headers=headers, stream=_Body(response.chunks, request), request=request)
    return httpx.Response(response.status, headers=headers, content=response.body, request=request)


# The same few headers are sent again and again, and httpx takes longer for them than for the rest of a message.


@lru_cache(maxsize=1024)
def _request_headers(raw: tuple[tuple[bytes, bytes], ...]) -> Mapping[str, str]:
    return {name.decode().lower(): value.decode() for name, value in raw}


@lru_cache(maxsize=1024)
def _response_headers(items: tuple[tuple[str, str], ...]) -> httpx.Headers:
    return httpx.Headers(items)


class _Body(httpx.AsyncByteStream):
    """A body that arrives in chunks and breaks off if the engine dies."""

    def __init__(self, chunks: AsyncIterator[bytes], request: httpx.Request) -> None:
        self._chunks = chunks
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        timeout = self._request.extensions.get("timeout", {}).get("read")
        with map_errors(self._request, _BROKEN_OFF):
            while True:
                async with asyncio.timeout(timeout):
                    chunk = await anext(self._chunks, None)
                if chunk is None:
                    return
                yield chunk

    async def aclose(self) -> None:
        if isinstance(self._chunks, AsyncGenerator):
            await self._chunks.aclose()


@contextmanager
def map_errors(request: httpx.Request, closed: str = _NO_ANSWER) -> Iterator[None]:
    """Map the engine's errors to those that the client's library raises."""
    try:
        yield
    except EngineClosed:
        raise httpx.RemoteProtocolError(closed, request=request) from None
    except TimeoutError:
        raise httpx.ReadTimeout("timed out", request=request) from None
    except ConnectionResetError:
        raise httpx.ReadError("[Errno 104] Connection reset by peer", request=request) from None
