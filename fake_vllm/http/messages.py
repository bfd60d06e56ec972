"""Requests and responses as values, without sockets, and the responses that both server flavors share."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel
from pydantic_core import SchemaValidator

from fake_vllm.http.validation import parse_body, parse_value

JSON: Mapping[str, str] = {"content-type": "application/json"}
EVENTS: Mapping[str, str] = {"content-type": "text/event-stream; charset=utf-8"}
METRICS: Mapping[str, str] = {"content-type": "text/plain; version=0.0.4; charset=utf-8"}
WEIGHTS_HEADER = "x-fake-vllm-weights"
"""Digest of the weights that made an answer: an adapter's, or the base model's. A real server has no such header."""
PREFIX_WEIGHTS_HEADER = "x-fake-vllm-prefix-weights"
"""Digest of the weights that made the blocks taken from the prefix cache; absent if there were none."""
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Request:
    """A request; header names in lower case, the path without its query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    query: str = ""
    root: str = ""
    """`--root-path`, if it stood before the path."""

    def parse(self, model: type[M], context: object = None) -> M:
        """Return the model that the body holds; `context` is passed to its validators.

        Raises:
            RequestValidationError: if it holds none.
        """
        return parse_body(model, self.headers.get("content-type", ""), self.body, context)

    def parse_value(self, validator: SchemaValidator, context: object = None) -> Any:
        """Return what `validator` makes of the body; `context` is passed to it.

        Raises:
            RequestValidationError: if the body does not fit.
        """
        return parse_value(validator, self.headers.get("content-type", ""), self.body, context)


@dataclass(frozen=True, slots=True)
class Response:
    """A complete response; the transport adds the length.

    Attributes:
        unhandled: it is made outside all middleware, which adds no headers to it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    unhandled: bool = False


@dataclass(frozen=True, slots=True)
class Stream:
    """A response in chunks. The consumer has to close `chunks`, which aborts the work behind it."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


def json_response(status: int, content: object, headers: Mapping[str, str] = JSON) -> Response:
    """Return a response in JSON."""
    return Response(status, headers, msgspec.json.encode(content))


def error_response(status: int, type: str, message: str, param: str | None = None) -> Response:
    """Return an error in vLLM's envelope."""
    return json_response(status, {"error": {"message": message, "type": type, "param": param, "code": status}})


def unauthorized() -> Response:
    """Return the response to a missing or wrong key, the same for both flavors; it has no envelope."""
    return json_response(401, {"error": "Unauthorized"})
