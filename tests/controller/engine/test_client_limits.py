"""An engine may answer with anything: the client reads a bounded part of it and raises an `EngineError`."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest

from controller.engine.client import Address, EngineClient
from controller.engine.errors import EngineError, failure
from controller.engine.metrics import read
from controller.engine.response_body import BodyError, read_body

ADDRESS = Address("192.0.2.1", 8000)
MIB = 1 << 20


class Body(httpx.AsyncByteStream):
    """A body of equal chunks that counts how many were read."""

    def __init__(self, chunk: bytes, count: int) -> None:
        self.chunk, self.count = chunk, count
        self.sent = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self.count):
            self.sent += len(self.chunk)
            yield self.chunk

    async def aclose(self) -> None:
        self.closed = True


class Answering(httpx.AsyncBaseTransport):
    """Gives every request the same response."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.response


def models(response: httpx.Response) -> EngineError:
    """Return the error of a list with that response."""

    async def story() -> None:
        await EngineClient(Answering(response)).models(ADDRESS, 5)

    with pytest.raises(EngineError) as caught:
        asyncio.run(story())
    return caught.value


def test_a_list_is_read_up_to_one_mebibyte_and_the_connection_is_closed() -> None:
    body = Body(b" " * 65536, 100_000)
    error = models(httpx.Response(200, stream=body))
    assert (error.reason, error.retriable) == ("InvalidAnswer", True)
    assert body.sent <= MIB + 2 * 65536
    assert body.closed


def test_an_error_is_read_up_to_one_mebibyte() -> None:
    body = Body(b"x" * 65536, 100_000)
    assert models(httpx.Response(500, stream=body)).reason == "InvalidAnswer"
    assert body.sent <= MIB + 2 * 65536


def test_metrics_may_have_sixteen_mebibytes_and_no_more() -> None:
    async def size(chunks: int) -> int:
        response = httpx.Response(200, stream=Body(b"x" * MIB, chunks))
        return len(await EngineClient(Answering(response)).metrics(ADDRESS, 5))

    assert asyncio.run(size(16)) == 16 * MIB
    with pytest.raises(EngineError, match="more than 16777216 bytes"):
        asyncio.run(size(17))


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_decompressed_bytes_are_counted(encoding: str) -> None:
    bomb = {"gzip": gzip.compress, "deflate": zlib.compress}[encoding](bytes(64 * MIB))
    assert len(bomb) < MIB
    error = models(httpx.Response(200, stream=Body(bomb, 1), headers={"content-encoding": encoding}))
    assert "more than 1048576 bytes" in error.message


@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, gzip", "x" * 1000])
def test_a_body_that_cannot_be_decompressed_is_an_invalid_answer(encoding: str) -> None:
    error = models(httpx.Response(200, stream=Body(b"not compressed", 1), headers={"content-encoding": encoding}))
    assert error.reason == "InvalidAnswer"
    assert len(error.message) < 100


def test_a_compressed_body_within_the_limit_is_read() -> None:
    response = httpx.Response(200, stream=Body(gzip.compress(b"abc"), 1), headers={"content-encoding": "gzip"})
    assert asyncio.run(read_body(response, 3)) == b"abc"


def test_a_body_in_memory_has_the_same_limit() -> None:
    with pytest.raises(BodyError):
        asyncio.run(read_body(httpx.Response(200, content=b"abcd"), 3))


def test_a_slow_body_ends_with_the_request_s_timeout() -> None:
    class Slow(Body):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                await asyncio.sleep(0.005)
                yield b" "

    async def story() -> None:
        await EngineClient(Answering(httpx.Response(200, stream=Slow(b"", 0)))).models(ADDRESS, 0.05)

    with pytest.raises(EngineError) as caught:
        asyncio.run(story())
    assert caught.value.reason == "Timeout"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"data": {}}',
        b'{"data": [1]}',
        b'{"data": [{"id": 1}]}',
        b'{"data": [{"id": "a", "root": []}]}',
        b'{"data": ' + b"[" * 100_000,
        b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b', "data": []}',
        b'{"data": [{"id": "\\ud800"}]}',
        b'{"data": [' + b",".join([b'{"id":"a"}'] * 10_001) + b"]}",
    ],
    ids=range(12),
)
def test_a_list_that_is_not_one_is_an_invalid_answer(body: bytes) -> None:
    error = models(httpx.Response(200, content=body))
    assert (error.reason, error.retriable) == ("InvalidAnswer", True)
    assert len(error.message) < 200


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"error": ' + b"[" * 100_000, b'{"detail": ' + b'{"a":' * 50_000])
def test_an_error_of_any_depth_is_classified_by_its_status(body: bytes) -> None:
    assert failure("load", httpx.Response(503), body).reason == "EngineUnavailable"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("7", 7.0), ("86400", 60.0), ("1e400", 60.0), ("inf", 0.0), ("nan", 0.0), ("-5", 0.0), ("soon", 0.0)],
)
def test_retry_after_is_at_most_a_minute(value: str, expected: float) -> None:
    error = failure("load", httpx.Response(429, headers={"retry-after": value}), b"")
    assert error.retry_after == expected


def test_another_pod_is_used_while_a_server_asks_to_wait() -> None:
    assert failure("load", httpx.Response(503, headers={"retry-after": "30"}), b"").elsewhere
    assert not failure("load", httpx.Response(503), b"").elsewhere


def test_a_date_in_retry_after_is_compared_with_the_server_s_own_clock() -> None:
    headers = {"retry-after": "Fri, 31 Jan 2026 12:00:20 GMT", "date": "Fri, 31 Jan 2026 12:00:00 GMT"}
    assert failure("load", httpx.Response(503, headers=headers), b"").retry_after == 20.0


@pytest.mark.parametrize(
    "page",
    [
        b"vllm:num_requests_running 1\n" * 20_001,
        b'vllm:lora_requests_info{running_lora_adapters="' + b"a," * 40_000 + b'"} 1\n',
    ],
)
def test_a_page_of_metrics_that_no_engine_has_is_refused(page: bytes) -> None:
    with pytest.raises(ValueError, match="at most 20000 samples"):
        read(page)
