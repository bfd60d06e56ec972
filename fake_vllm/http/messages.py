"""Requests and answers as values, and the dialects' common ways to make answers. No sockets in here."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from fake_vllm.http.validation import read

JSON: Mapping[str, str] = {"content-type": "application/json"}
EVENTS: Mapping[str, str] = {"content-type": "text/event-stream; charset=utf-8"}
METRICS: Mapping[str, str] = {"content-type": "text/plain; version=0.0.4; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived; header names in lower case, the path without its query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""

    def content(self) -> dict[str, Any]:
        """The object that the body holds.

        Raises:
            Invalid: if it holds none.
        """
        return read(self.headers.get("content-type", ""), self.body)


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back; the transport adds the length."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Stream:
    """What goes back piece by piece. Whoever takes it closes `chunks`, so that work nobody waits for ends."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


def encoded(status: int, content: object, headers: Mapping[str, str] = JSON) -> Response:
    """An answer in JSON."""
    return Response(status, headers, msgspec.json.encode(content))


def error(status: int, type: str, message: str, param: str | None = None) -> Response:
    """vLLM's error envelope."""
    return encoded(status, {"error": {"message": message, "type": type, "param": param, "code": status}})


def unauthorized() -> Response:
    """What a missing or wrong key gets, from either engine; it is not the usual envelope."""
    return encoded(401, {"error": "Unauthorized"})
