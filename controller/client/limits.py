"""Limits of what an API server may send, so that a broken or hostile one cannot exhaust the operator's memory.

etcd refuses requests of more than 1.5 MiB (`--max-request-bytes`), so an object is not larger as protobuf; as JSON it
has up to about twice as many bytes.
"""

from typing import TYPE_CHECKING

from controller.client.interface import Unavailable

if TYPE_CHECKING:
    import aiohttp  # of the extra `live`; the twin does without

MAX_OBJECT = 4 << 20
MAX_LIST = 32 << 20
"""Bytes of a page: 500 objects of 64 KiB."""
MAX_OBJECTS = 150_000
"""Objects of one kind: the number of pods of the largest cluster that Kubernetes supports."""
MAX_LINE = MAX_OBJECT
"""Bytes of an event in a watch."""
MAX_MESSAGE = 2000
"""Characters of an error message that are kept."""
_CHUNK = 64 << 10
_MAX_DIGITS = 64


async def read_body(response: "aiohttp.ClientResponse", limit: int) -> bytes:
    """Return the decompressed body of a response, and close the response.

    Raises:
        Unavailable: the body has more than `limit` bytes.
        aiohttp.ClientError: the connection failed.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in response.content.iter_chunked(_CHUNK):
            size += len(chunk)
            if size > limit:
                raise Unavailable(f"the server's response has more than {limit} bytes", code=response.status)
            chunks.append(chunk)
    except BaseException:
        response.close()
        raise
    response.release()
    return b"".join(chunks)


class LineReader:
    """Splits a stream into lines."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that `chunk` completes, without empty ones.

        Raises:
            Unavailable: a line has more than `MAX_LINE` bytes.
        """
        head, newline, tail = chunk.rpartition(b"\n")
        complete = bytes(self._rest) + head if newline else b""
        if newline:
            self._rest.clear()
        self._rest += tail
        lines = [line for line in complete.split(b"\n") if line.strip()]
        if len(self._rest) > MAX_LINE or any(len(line) > MAX_LINE for line in lines):
            raise Unavailable(f"a watch sent an event of more than {MAX_LINE} bytes")
        return lines


def is_version(text: str) -> bool:
    """Return whether a text is a resourceVersion: a decimal number, which Kubernetes guarantees since 1.35."""
    return 0 < len(text) <= _MAX_DIGITS and text.isascii() and text.isdigit()
