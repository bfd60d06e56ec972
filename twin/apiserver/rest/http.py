"""Requests as handlers see them, and the responses that they return."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from twin.apiserver.codec.body import JSON, decode_body, encode_json
from twin.apiserver.meta.errors import ApiError, Object, bad_request
from twin.apiserver.rest.auth.authentication import User
from twin.apiserver.rest.middleware import ReadView

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NO_CACHE = {"cache-control": "no-cache, private"}


@dataclass(frozen=True, slots=True)
class AcceptedType:
    """One media type of an Accept header, with the object form that it asks for (`as`, `g`, `v`)."""

    media_type: str
    form: str = ""
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One request with its whole body.

    Attributes:
        method: HTTP method.
        path: decoded path.
        query: query parameters; the last value of a repeated one.
        headers: headers; names are compared without case.
        body: the body.
        user: the authenticated user.
        read_view: restrictions of what this client reads from the store; None if there are none.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    user: User
    read_view: ReadView | None = None

    @classmethod
    async def read(cls, incoming: HttpRequest, user: User) -> "Request":
        """Return the request after reading its body.

        Raises:
            ClientDisconnect: if the client disconnects before the end of the body.
        """
        body = await incoming.body()
        return cls(incoming.method, incoming.scope["path"], incoming.query_params, incoming.headers, body, user)

    def flag(self, name: str) -> bool:
        """Return whether a query parameter is true."""
        return self.query.get(name, "").lower() in ("1", "true")

    def number(self, name: str, default: int) -> int:
        """Return a query parameter as an integer."""
        text = self.query.get(name, "")
        if not text:
            return default
        if not _INTEGER.fullmatch(text):
            raise bad_request(f'{name}: Invalid value: "{text}": must be an integer')
        return int(text)

    @property
    def content_type(self) -> str:
        """Media type of the body, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def manager(self) -> str:
        """Field manager of a write: `fieldManager`, or the first part of the user agent."""
        return self.query.get("fieldManager") or self.headers.get("user-agent", "").partition("/")[0][:128]

    def json(self) -> Any:
        """Return the decoded body.

        Raises:
            ApiError: 400 if the body cannot be decoded, 415 if its media type is not supported.
        """
        return decode_body(self.body, self.content_type)

    def object(self) -> Object:
        """Return the body as a JSON object; an empty body is an empty object."""
        value = self.json() if self.body else {}
        if not isinstance(value, dict):
            raise bad_request("the body has to be an object")
        return value

    def accepted(self) -> list[AcceptedType]:
        """Return the media types of the Accept header in the client's order (any type without the header)."""
        types = []
        for part in (self.headers.get("accept") or "*/*").split(","):
            media_type, *pieces = (piece.strip() for piece in part.split(";"))
            parameters = dict(piece.partition("=")[::2] for piece in pieces)
            form, group, version = (parameters.get(name, "") for name in ("as", "g", "v"))
            types.append(AcceptedType(media_type, form, group, version))
        return types

    def form(self, group: str, *forms: str) -> str:
        """Return which of `forms` the client prefers to the plain object ("" for the plain object).

        Raises:
            ApiError: 406 if the client accepts no available form.
        """
        for accepted in self.accepted():
            if accepted.media_type not in (JSON, "application/*", "*/*"):
                continue
            if not accepted.form or (accepted.group == group and accepted.form in forms):
                return accepted.form
        raise ApiError(
            406,
            "NotAcceptable",
            "only the following media types are accepted: application/json, application/json;as=Table;v=v1;"
            "g=meta.k8s.io, application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
        )


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response with a JSON body."""
    return bytes_response(encode_json(value), JSON, status, headers)


def bytes_response(
    body: bytes, media_type: str, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a response with a body of exactly this media type."""
    return Response(body, status, {"content-type": media_type, **_NO_CACHE, **(headers or {})})


class Stream(StreamingResponse):
    """A response that lasts until the chunks end or the client disconnects; then `close` is called."""

    def __init__(
        self, chunks: AsyncIterator[bytes], close: Callable[[], None] = lambda: None, media_type: str = JSON
    ) -> None:
        super().__init__(chunks, headers={"content-type": media_type, **_NO_CACHE})
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._close()
