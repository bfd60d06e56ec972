"""Cheap HTTP clients for benchmarks: raw HTTP over asyncio, so that the server dominates the measurement."""

import asyncio
import json
from collections.abc import Sequence


def post_request(path: str, body: object) -> bytes:
    """Return the bytes of a POST request."""
    raw = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {len(raw)}\r\n\r\n"
    )
    return head.encode() + raw


class RepeatingClient(asyncio.Protocol):
    """Sends the same request repeatedly over one connection."""

    def __init__(self, request: bytes, times: int, done: "asyncio.Future[None]") -> None:
        self._request = request
        self._left = times
        self._done = done
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, split, body = self._buffer.partition(b"\r\n\r\n")
        if not split:
            return
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self._buffer = body[length:]
        self._left -= 1
        if self._left:
            self._transport.write(self._request)
        else:
            self._transport.close()
            self._done.set_result(None)


class StreamClient(asyncio.Protocol):
    """Reads one stream and records the time of each event."""

    def __init__(self, request: bytes, done: "asyncio.Future[None]") -> None:
        self._request = request
        self._done = done
        self.times: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = asyncio.get_running_loop().time()
        self.times += [now] * data.count(b'"choices":[{')
        if b"[DONE]" in data:
            self._transport.close()
            self._done.set_result(None)


async def run_requests(port: int, request: bytes, connections: int, count: int) -> float:
    """Return the seconds in which each of `connections` connections sends `count` requests."""
    loop = asyncio.get_running_loop()
    done = [loop.create_future() for _ in range(connections)]
    began = loop.time()
    for future in done:
        await loop.create_connection(lambda future=future: RepeatingClient(request, count, future), "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*done)
    return loop.time() - began


async def run_streams(port: int, request: bytes, streams: int) -> Sequence[Sequence[float]]:
    """Start `streams` streams at once; return the times of the events of each."""
    loop = asyncio.get_running_loop()
    done = [loop.create_future() for _ in range(streams)]
    clients = [StreamClient(request, future) for future in done]
    connecting = [loop.create_connection(lambda client=client: client, "127.0.0.1", port) for client in clients]  # type: ignore[misc]
    await asyncio.gather(*connecting)
    await asyncio.gather(*done)
    return [client.times for client in clients]
