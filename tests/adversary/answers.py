"""Answers that no client should trust: HTTP that is not valid, bodies without an end, documents with wrong values.

An answer is raw bytes for a socket, so that it need not be HTTP at all. `answer_for` draws one from a generator; the
same seed gives the same answers.
"""

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.adversary.values import encoded, mutated

_BLOCK = b"x" * 65536
_MOST_BLOCKS = 4096
"""Blocks of an answer without an end (256 MiB), in case that a client reads them all."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        name: what is wrong with it.
        chunks: returns the bytes.
        pause: seconds after each chunk.
    """

    name: str
    chunks: Callable[[], Iterator[bytes]]
    pause: float = 0.0


def _once(name: str, *chunks: bytes, pause: float = 0.0) -> Answer:
    return Answer(name, lambda: iter(chunks), pause)


def response(status: object, body: bytes, **headers: object) -> bytes:
    """Return a response with a length; names of headers have underscores."""
    lines = [f"HTTP/1.1 {status} Answer", f"content-length: {len(body)}", "content-type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode("utf-8", "replace") + body


def _endless(head: bytes, block: bytes) -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        yield head
        for _ in range(_MOST_BLOCKS):
            yield block

    return chunks


_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
_CHUNKED = _HEAD + b"transfer-encoding: chunked\r\n\r\n"


def _bomb(window: int) -> bytes:
    """Return 64 MiB of zeros, compressed."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, window)
    return b"".join([*(compressor.compress(bytes(1 << 20)) for _ in range(64)), compressor.flush()])


_BOMBS = {"gzip": _bomb(16 + zlib.MAX_WBITS), "deflate": _bomb(zlib.MAX_WBITS)}

TRANSPORT: tuple[Answer, ...] = (
    _once("closed at once"),
    _once("not HTTP", b"\x00\x01\x02 hello\r\n\r\n"),
    _once("a status line alone", b"HTTP/1.1 200 OK\r\n"),
    _once("half a header", b"HTTP/1.1 200 OK\r\ncontent-le"),
    _once("a header without a colon", b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n{}"),
    _once("a header of one megabyte", b"HTTP/1.1 200 OK\r\nx: " + b"a" * (1 << 20) + b"\r\n\r\n{}"),
    _once("ten thousand headers", b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 10_000 + b"\r\n{}"),
    _once("a status in letters", b"HTTP/1.1 abc Odd\r\ncontent-length: 0\r\n\r\n"),
    _once("status 0", response(0, b"{}")),
    _once("status 999", response(999, b"{}")),
    _once("status 204 with a body", response(204, b"{}")),
    _once("a redirect to itself", response(302, b"", location="/v1/models")),
    _once("a redirect elsewhere", response(307, b"", location="http://127.0.0.1:1/")),
    _once("a negative length", b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}"),
    _once("two lengths", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 9\r\n\r\n{}"),
    _once("a longer body than it says", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}{}{}{}"),
    _once("a shorter body than it says", b"HTTP/1.1 200 OK\r\ncontent-length: 999999\r\n\r\n{"),
    _once("a chunk with its size in letters", _CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n"),
    _once("chunks without an end", _CHUNKED + b"2\r\n{}\r\n"),
    _once("an empty 200", response(200, b"")),
    _once("plain text called gzip", response(200, b"not compressed", content_encoding="gzip")),
    _once("an encoding that no one asked for", response(200, b"abc", content_encoding="br")),
    _once("a thousand interim answers", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000 + response(200, b"{}")),
    _once("a web page", response(200, b"<html><body>Bad gateway</body></html>")),
    _once("a web page as an error", response(502, b"<html>" + b"x" * 10_000)),
    _once("no answer", b"", pause=30.0),
    _once("a drop at a time", _HEAD + b"\r\n", *[b" "] * 200, pause=0.05),
    Answer("a body without an end", _endless(_HEAD + b"\r\n", _BLOCK)),
    Answer("spaces without an end", _endless(_HEAD + b"\r\n", b" " * 65536)),
    Answer("chunks of a body without an end", _endless(_CHUNKED, b"10000\r\n" + _BLOCK + b"\r\n")),
    Answer("a header without an end", _endless(b"HTTP/1.1 200 OK\r\nx: ", _BLOCK)),
    Answer("an error without an end", _endless(b"HTTP/1.1 500 Odd\r\nconnection: close\r\n\r\n", _BLOCK)),
    *(_once(f"64 MiB as {name}", response(200, body, content_encoding=name)) for name, body in _BOMBS.items()),
)
_RETRY_AFTER = (
    "0", "1", "24h", "86400", "inf", "nan", "-1", "1e400", "9" * 400, "Fri, 31 Dec 9999 00:00:00 GMT", "\u00b2",
)  # fmt: skip

_ENGINE: tuple[Any, ...] = (
    {"object": "list", "data": [{"id": "base", "root": "base", "parent": None, "max_model_len": 512}, {"id": "a"}]},
    {"error": {"message": "no", "type": "BadRequestError", "param": None, "code": 400}},
    {"detail": "Not Found"},
    {"local_path": "/a", "status": "success", "lora_name": "a", "message": "m"},
)
_META = {"name": "p", "namespace": "default", "uid": "u", "resourceVersion": "7", "labels": {"a": "b"}}
_POD = {"metadata": _META, "spec": {"containers": [{"name": "a"}]}, "status": {"phase": "Running", "conditions": []}}
_STATUS = {"kind": "Status", "status": "Failure", "message": "m", "reason": "NotFound", "code": 404, "details": {}}
_API: tuple[Any, ...] = (
    {"kind": "PodList", "metadata": {"resourceVersion": "9", "continue": ""}, "items": [_POD, _POD]},
    {"kind": "PodList", "metadata": {"resourceVersion": "abc"}, "items": []},
    {"kind": "PodList", "metadata": {"resourceVersion": "9", "continue": "more"}, "items": [_POD]},
    _POD,
    _STATUS,
    {**_STATUS, "code": 429, "reason": "TooManyRequests", "details": {"retryAfterSeconds": 1e9}},
)
_EVENTS = (
    *({"type": type_, "object": _POD} for type_ in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")),
    {"type": "ERROR", "object": _STATUS},
)


def engine_answer(rng: Random) -> Answer:
    """Return an answer of a hostile engine."""
    if rng.random() < 0.2:
        page = b"vllm:num_requests_running 1\n" * rng.choice((1, 100_000)) + encoded(rng, mutated(rng, _ENGINE[0], 2))
        return _once("metrics", response(200, page))
    return _answer(rng, _ENGINE)


def api_answer(rng: Random) -> Answer:
    """Return an answer of a hostile API server; some are for watches."""
    if rng.random() < 0.25:
        lines = [encoded(rng, mutated(rng, rng.choice(_EVENTS), rng.randrange(3))) for _ in range(rng.randrange(1, 20))]
        return _once("a watch", _HEAD + b"\r\n", *(line + b"\n" for line in lines))
    if rng.random() < 0.03:
        line = json.dumps({"type": "BOOKMARK", "object": _POD}).encode() + b"\n"
        return Answer("a watch without an end", _endless(_HEAD + b"\r\n", line * (65536 // len(line))))
    return _answer(rng, _API)


def _answer(rng: Random, documents: tuple[Any, ...]) -> Answer:
    if rng.random() < 0.35:
        return rng.choice(TRANSPORT)
    body = encoded(rng, mutated(rng, rng.choice(documents), rng.randrange(4)))
    status = rng.choice((200, 200, 200, 400, 401, 403, 404, 409, 410, 422, 429, 500, 503, 504))
    if status in (429, 503):
        return _once("a Retry-After", response(status, body, retry_after=rng.choice(_RETRY_AFTER)))
    return _once("a mutated document", response(status, body))
