"""Decodes responses of an API server into the operator's structs, directly from bytes.

Objects with a null in place of a list (`endpoints: null` in an empty EndpointSlice) are decoded a second time without
nulls, which have no meaning in Kubernetes. Lists and watches skip objects that still do not decode, with a warning, so
that one invalid object does not hide the others.
"""

from collections.abc import Sequence
from typing import Any, Generic, Literal, TypeVar

import msgspec
from structlog.typing import FilteringBoundLogger

from controller.api.types import Kind, Resource
from controller.client.errors import Status, from_status
from controller.client.interface import Invalid, Unavailable, WatchEvent
from controller.client.limits import is_version

T = TypeVar("T", bound=Resource)


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    next: str = msgspec.field(name="continue", default="")


class Page(msgspec.Struct):
    """One page of a list."""

    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _EventLine(msgspec.Struct):
    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: msgspec.Raw


class _ObjectMeta(msgspec.Struct):
    metadata: dict[str, Any] = {}


_SHOWN = 253
"""Characters of a name that are shown; a longer one is not valid."""
_PAGE = msgspec.json.Decoder(Page)
_LINE = msgspec.json.Decoder(_EventLine)


class Decoder(Generic[T]):
    """Decodes objects of one kind."""

    def __init__(self, kind: Kind[T], log: FilteringBoundLogger) -> None:
        self._kind = kind
        self._log = log
        self._direct = msgspec.json.Decoder(kind.type)

    def object(self, raw: bytes | msgspec.Raw) -> T:
        """Return one object. Raises `Invalid` if it does not match the kind."""
        try:
            obj = self._decode(raw)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Invalid(f"{self._kind.kind} {_name(raw)} cannot be decoded: {error}") from None
        if not is_version(obj.metadata.resource_version):
            version = obj.metadata.resource_version[:_SHOWN]
            raise Invalid(f"{self._kind.kind} {_name(raw)} has the resourceVersion {version!r} instead of a number")
        return obj

    def _decode(self, raw: bytes | msgspec.Raw) -> T:
        try:
            return self._direct.decode(raw)
        except msgspec.DecodeError:
            return self._kind.decode(_without_nulls(msgspec.json.decode(raw)))

    def objects(self, raws: Sequence[msgspec.Raw]) -> list[T]:
        """Return the objects that can be decoded."""
        return [obj for raw in raws if (obj := self._decode_or_skip(raw)) is not None]

    def event(self, line: bytes) -> WatchEvent[T] | None:
        """Return the event in one line of a watch; None if its object cannot be decoded.

        Raises:
            ClientError: if the line is an ERROR event.
        """
        try:
            event = _LINE.decode(line)
            if event.type == "ERROR":
                raise from_status(msgspec.json.decode(event.object, type=Status))
            if event.type == "BOOKMARK":
                version = str(msgspec.json.decode(event.object, type=_ObjectMeta).metadata.get("resourceVersion"))
                if not is_version(version):
                    raise Unavailable(f"a watch of {self._kind.plural} sent a bookmark without a resourceVersion")
                return WatchEvent("BOOKMARK", self._kind.bookmark(version))
        except (msgspec.DecodeError, RecursionError) as error:
            raise Unavailable(f"a watch of {self._kind.plural} sent an invalid event: {error}") from None
        obj = self._decode_or_skip(event.object)
        return None if obj is None else WatchEvent(event.type, obj)

    def _decode_or_skip(self, raw: msgspec.Raw) -> T | None:
        try:
            return self.object(raw)
        except Invalid as error:
            self._log.warning("object skipped", error=str(error))
            return None


def decode_page(body: bytes) -> Page:
    """Return a page of a list. Raises `Unavailable` for anything else, such as a proxy's error page."""
    try:
        page = _PAGE.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unavailable(f"the server returned an invalid list: {error}") from None
    if not is_version(page.metadata.resource_version):
        raise Unavailable("the server returned an invalid list: its resourceVersion is not a number")
    return page


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _name(raw: bytes | msgspec.Raw) -> str:
    try:
        meta = msgspec.json.decode(raw, type=_ObjectMeta).metadata
    except (msgspec.DecodeError, RecursionError):
        return "(not an object)"
    return "/".join(str(meta[key])[:_SHOWN] for key in ("namespace", "name") if meta.get(key))
