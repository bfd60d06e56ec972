"""Bodies of responses, read up to a limit: an engine is another program and may send anything.

The limit counts decompressed bytes. Requests do not offer compression, but a proxy may compress all the same.
"""

import zlib
from typing import Protocol

import httpx

_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_PLAIN = ("", "identity")


class BodyError(Exception):
    """A body is larger than allowed, or cannot be decompressed."""


async def read_body(response: httpx.Response, limit: int) -> bytes:
    """Return the body of a response, and close it.

    Raises:
        BodyError: the body has more than `limit` bytes, or an unsupported content encoding.
        httpx.HTTPError: the connection failed.
    """
    try:
        body = response.content  # of a response that is in memory
    except httpx.ResponseNotRead:
        return await _read(response, limit)
    if len(body) > limit:
        raise _too_large(limit)
    return body


async def _read(response: httpx.Response, limit: int) -> bytes:
    chunks: list[bytes] = []
    left = limit
    try:
        decoder = _decoder(response.headers.get("content-encoding", ""))
        async for chunk in response.aiter_raw():
            decoded = decoder.decompress(chunk, left + 1)
            left -= len(decoded)
            if left < 0:
                raise _too_large(limit)
            chunks.append(decoded)
    except zlib.error:
        raise BodyError("the answer cannot be decompressed") from None
    finally:
        await response.aclose()
    return b"".join(chunks)


class _Decoder(Protocol):
    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Return the decompressed bytes of `data`, at most `max_length`."""
        ...


class _Identity:
    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return data[:max_length]


def _decoder(encoding: str) -> _Decoder:
    name = encoding.strip().lower()
    if name in _PLAIN:
        return _Identity()
    if name not in _WINDOWS:
        raise BodyError("the answer has a content encoding that was not asked for")
    return zlib.decompressobj(_WINDOWS[name])


def _too_large(limit: int) -> BodyError:
    return BodyError(f"the answer has more than {limit} bytes")
