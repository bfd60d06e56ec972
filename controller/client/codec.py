"""Objects of a live API server as the operator's structs, straight from the bytes.

Most decode at once. What does not may hold a null where a list could be (`endpoints: null` in an EndpointSlice of
none): nulls say nothing in Kubernetes, so it is tried again without them. What still does not fit is no object that
this operator can read; one such object must not blind it to all the others, so lists and watches leave it out.
"""

from collections.abc import Sequence
from typing import Any, Generic, Literal, TypeVar

import msgspec
from structlog.typing import FilteringBoundLogger

from controller.api.types import Kind, Resource
from controller.client.errors import Status, from_status
from controller.client.interface import Invalid, Unavailable, WatchEvent

T = TypeVar("T", bound=Resource)


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    next: str = msgspec.field(name="continue", default="")


class Page(msgspec.Struct):
    """A list, or a part of one."""

    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _Line(msgspec.Struct):
    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: msgspec.Raw


class _Named(msgspec.Struct):
    metadata: dict[str, Any] = {}


_PAGE = msgspec.json.Decoder(Page)
_LINE = msgspec.json.Decoder(_Line)


class Decoder(Generic[T]):
    """For one kind."""

    def __init__(self, kind: Kind[T], log: FilteringBoundLogger) -> None:
        self._kind = kind
        self._log = log
        self._direct = msgspec.json.Decoder(kind.type)

    def object(self, raw: bytes | msgspec.Raw) -> T:
        """Raises `Invalid`, if the server sent something else than the kind has."""
        try:
            return self._direct.decode(raw)
        except msgspec.DecodeError:
            pass
        try:
            return self._kind.decode(_without_nulls(msgspec.json.decode(raw)))
        except msgspec.DecodeError as error:
            raise Invalid(f"{self._kind.kind} {_name(raw)} cannot be read: {error}") from None

    def objects(self, raws: Sequence[msgspec.Raw]) -> list[T]:
        """All that can be read."""
        return [obj for raw in raws if (obj := self._readable(raw)) is not None]

    def event(self, line: bytes) -> WatchEvent[T] | None:
        """A line of a watch; None if its object cannot be read. Raises `ClientError`, if it says an error."""
        try:
            said = _LINE.decode(line)
            if said.type == "ERROR":
                raise from_status(msgspec.json.decode(said.object, type=Status))
            if said.type == "BOOKMARK":
                meta = msgspec.json.decode(said.object, type=_Named).metadata
                return WatchEvent("BOOKMARK", self._kind.bookmark(str(meta.get("resourceVersion", ""))))
        except msgspec.DecodeError as error:
            raise Unavailable(f"a watch of {self._kind.plural} sent what is no event: {error}") from None
        obj = self._readable(said.object)
        return None if obj is None else WatchEvent(said.type, obj)

    def _readable(self, raw: msgspec.Raw) -> T | None:
        try:
            return self.object(raw)
        except Invalid as error:
            self._log.warning("object left out", error=str(error))
            return None


def page(body: bytes) -> Page:
    """Raises `Unavailable`, if that is no list: something stands between us and the server."""
    try:
        return _PAGE.decode(body)
    except msgspec.DecodeError as error:
        raise Unavailable(f"the server answered a list with something else: {error}") from None


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _name(raw: bytes | msgspec.Raw) -> str:
    try:
        meta = msgspec.json.decode(raw, type=_Named).metadata
    except msgspec.DecodeError:
        return "(no object at all)"
    return "/".join(str(meta[key]) for key in ("namespace", "name") if meta.get(key))
