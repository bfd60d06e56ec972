"""A request as handlers see it, and the two sorts of answers: one that is whole, one that goes on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from starlette.types import Receive, Scope, Send

from twin.apiserver.meta.errors import ApiError, Object, bad_request
from twin.apiserver.rest.auth.authentication import User
from twin.apiserver.rest.codec import protobuf
from twin.apiserver.rest.middleware import ReadView

JSON = "application/json"
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def encode_json(value: Any) -> bytes:
    """JSON as it goes over the wire."""
    return _encoder.encode(value)


@dataclass(frozen=True, slots=True)
class Accepted:
    """One media type that a client takes, with the form it wants the objects in (`as`, `g`, `v`)."""

    media_type: str
    form: str = ""
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, read whole."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    user: User
    read_view: ReadView | None = None
    """How this client sees the store; None: as it is."""

    def flag(self, name: str) -> bool:
        """Whether a query parameter says yes."""
        return self.query.get(name, "").lower() in ("1", "true")

    def number(self, name: str, default: int) -> int:
        """A query parameter that is a whole number."""
        text = self.query.get(name, "")
        if not text:
            return default
        if not text.lstrip("-").isdecimal():
            raise bad_request(f'{name}: Invalid value: "{text}": is no whole number')
        return int(text)

    @property
    def content_type(self) -> str:
        """The body's media type, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def manager(self) -> str:
        """Who the fields that are written belong to: `fieldManager`, else the first part of the user agent."""
        return self.query.get("fieldManager") or self.headers.get("user-agent", "").partition("/")[0][:128]

    def json(self) -> Any:
        """The body as a value; YAML is taken too, and Kubernetes' protobuf.

        Raises:
            ApiError: 400, it cannot be read; 415, it is in a form that the twin does not know.
        """
        if self.content_type == protobuf.MEDIA_TYPE:
            return protobuf.decode(self.body)
        if self.content_type and not self.content_type.endswith(("json", "yaml")):
            raise ApiError(
                415,
                "UnsupportedMediaType",
                f"the body of the request was in an unknown format ({self.content_type}) - accepted "
                "media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
            )
        try:
            return _decoder.decode(self.body)
        except msgspec.DecodeError as error:
            if "yaml" not in self.content_type:
                raise bad_request(f"couldn't get version/kind; json parse error: {error}") from error
        try:
            return YAML(typ="safe", pure=True).load(self.body.decode())
        except (YAMLError, UnicodeDecodeError) as error:
            raise bad_request(f"error decoding YAML: {error}") from error

    def object(self) -> Object:
        """The body as a JSON object."""
        value = self.json() if self.body else {}
        if not isinstance(value, dict):
            raise bad_request("the body has to be an object")
        return value

    def accepted(self) -> list[Accepted]:
        """What the client takes, in its order; everything, if it does not say."""
        found = []
        for part in (self.headers.get("accept") or "*/*").split(","):
            media_type, *parameters = (piece.strip() for piece in part.split(";"))
            given = dict(piece.partition("=")[::2] for piece in parameters)
            found.append(Accepted(media_type, given.get("as", ""), given.get("g", ""), given.get("v", "")))
        return found

    def form(self, group: str, *forms: str) -> str:
        """Which of `forms` the client would rather have than the plain object; "" if none.

        Raises:
            ApiError: 406, it takes nothing that the server has.
        """
        for each in self.accepted():
            if each.media_type not in (JSON, "application/*", "*/*"):
                continue
            if not each.form or (each.group == group and each.form in forms):
                return each.form
        raise ApiError(
            406,
            "NotAcceptable",
            "only the following media types are accepted: application/json, application/json;as=Table;v=v1;"
            "g=meta.k8s.io, application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
        )


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer."""

    body: bytes
    status: int = 200
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any, status: int = 200, **headers: str) -> "Response":
        """A JSON value as an answer."""
        return cls(encode_json(value), status, headers={name.replace("_", "-"): text for name, text in headers.items()})

    async def send(self, send: Send, receive: Receive) -> None:  # noqa: ARG002 - as Stream has it
        await send(_start(self.status, self.content_type, {"content-length": str(len(self.body)), **self.headers}))
        await send({"type": "http.response.body", "body": self.body})


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that goes on until either side ends it. `close` makes the chunks end."""

    chunks: AsyncIterator[bytes]
    close: Callable[[], None]
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    async def send(self, send: Send, receive: Receive) -> None:
        await send(_start(200, self.content_type, self.headers))
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        hung_up = asyncio.create_task(self._closed_when_gone(receive))
        try:
            async for chunk in self.chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            hung_up.cancel()
            self.close()

    async def _closed_when_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            continue
        self.close()


Answer = Response | Stream


def _start(status: int, content_type: str, headers: Mapping[str, str]) -> dict[str, Any]:
    named = {"content-type": content_type, "cache-control": "no-cache, private", **headers}
    return {
        "type": "http.response.start",
        "status": status,
        "headers": [(name.encode("latin-1"), text.encode("latin-1", "replace")) for name, text in named.items()],
    }


async def body_of(receive: Receive) -> bytes:
    """A request's body, whole."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"".join(parts)
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def headers_of(scope: Scope) -> dict[str, str]:
    """A request's headers, names in lower case; of a repeated one the last."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
