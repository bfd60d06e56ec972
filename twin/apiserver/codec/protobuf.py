"""Decoder of Kubernetes' protobuf, in which client-go sends builtin kinds.

The fields of each message are in `protobuf.txt`, which `.ci/protobuf-table` generates from the Go sources. The result
is the JSON that the same client would have sent: zero values are omitted where Go omits them, times are RFC 3339.
Source of the envelope: `k8s.io/apimachinery/pkg/runtime/serializer/protobuf`.
"""

import json
import struct
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from formats.timestamps import format_micro_time, format_time
from twin.apiserver.meta.errors import ApiError, Object, bad_request

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_PACKAGES = {
    "v1": "core",
    "events.k8s.io/v1": "events",
    "rbac.authorization.k8s.io/v1": "rbac",
    "authorization.k8s.io/v1": "authorization",
    "authentication.k8s.io/v1": "authentication",
    "autoscaling/v2": "autoscalingv2",
}
"""Packages that are not named after the first part of their group."""


def decode(body: bytes) -> Object:
    """Return the object in a request body.

    Raises:
        ApiError: 400 if the body is not protobuf, 415 if the kind is not in the table.
    """
    if not body.startswith(_MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        envelope = {number: value for number, _, value in _fields(body[len(_MAGIC) :])}
        identity = {number: value.decode() for number, _, value in _fields(envelope.get(1, b""))}
        api_version, kind = identity.get(1, ""), identity.get(2, "")
        decoded: Object = _message(message_name(api_version, kind), envelope.get(2, b""))
    except (IndexError, ValueError, struct.error, AttributeError) as error:
        raise bad_request(f"the body is not a valid protobuf message: {error}") from error
    return {"kind": kind, "apiVersion": api_version, **decoded}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message.

    Attributes:
        name: JSON name.
        kind: a letter for a scalar, otherwise the name of a message.
        container: `[` for a list, `{` for a map, otherwise empty.
        keeps_zero: zero values are not omitted.
        inline: the fields of the message belong to the outer object.
    """

    name: str
    kind: str
    container: str
    keeps_zero: bool = False
    inline: bool = False


@cache
def messages() -> Mapping[str, Mapping[int, Field]]:
    """Return the fields of all messages, by number."""
    table = {}
    for line in (files("twin.apiserver.codec") / "protobuf.txt").read_text(encoding="utf-8").splitlines():
        name, *fields = line.split(" ")
        table[name] = dict(map(_parse_field, fields))
    return table


@cache
def fields_of(message: str) -> Mapping[str, Field]:
    """Return the fields of a message by their JSON names, those of inline messages included."""
    fields: dict[str, Field] = {}
    for field in messages()[message].values():
        fields |= fields_of(field.kind) if field.inline else {field.name: field}
    return fields


def _parse_field(text: str) -> tuple[int, Field]:
    number, name, kind = text.split(":")
    inline, keeps = kind.endswith("^"), kind.endswith("?")
    kind = kind.rstrip("?^")
    container = kind[0] if kind[0] in "[{" else ""
    return int(number), Field(name, kind.lstrip("[{"), container, keeps, inline)


def message_name(api_version: str, kind: str) -> str:
    """Return the message of a kind.

    Raises:
        ApiError: 415 if it is not in the table.
    """
    group = api_version.split("/")[0].split(".")[0]
    for package in (_PACKAGES.get(api_version, group), "meta", "autoscaling"):
        if f"{package}.{kind}" in messages():
            return f"{package}.{kind}"
    raise ApiError(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format ({MEDIA_TYPE} of {api_version} {kind}) - "
        "accepted media types include: application/json, application/yaml",
    )


def _fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """Yield number, wire type and value (an integer, or bytes) of each field."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, position = _varint(data, position)
            yield number, wire, value
            continue
        if wire == _BYTES:
            size, position = _varint(data, position)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"unsupported wire type {wire}")
        if position + size > len(data):
            raise ValueError("unexpected end of data")
        yield number, wire, data[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _message(name: str, data: bytes) -> Any:
    if name in SPECIAL:
        return SPECIAL[name]({number: value for number, _, value in _fields(data)})
    fields = messages()[name]
    obj: Object = {}
    for number, _, raw in _fields(data):
        field = fields.get(number)
        if field is None:
            continue  # from a newer Kubernetes version: dropped, as by a real server
        if field.container == "{":
            pair = {number: value for number, _, value in _fields(raw)}
            value = _value(field.kind, pair.get(2, b"" if field.kind not in ("i", "b") else 0))
            obj.setdefault(field.name, {})[pair.get(1, b"").decode()] = value
        elif field.container == "[":
            obj.setdefault(field.name, []).append(_value(field.kind, raw))
        elif field.inline:
            obj.update(_value(field.kind, raw))
        else:
            value = _value(field.kind, raw)
            if field.keeps_zero or value not in (None, "", 0, False):
                obj[field.name] = value
    return obj


def _value(kind: str, raw: Any) -> Any:
    match kind:
        case "s":
            return raw.decode()
        case "i":
            return _signed(raw)
        case "b":
            return bool(raw)
        case "y":
            return b64encode(raw).decode()
        case "d":
            return struct.unpack("<d", raw)[0]
        case _:
            return _message(kind, raw)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _time(fields: Mapping[int, Any]) -> str | None:
    """Return a Time, or None for the zero time."""
    timestamp = _timestamp(fields)
    return None if timestamp is None else format_time(timestamp)


def _micro_time(fields: Mapping[int, Any]) -> str | None:
    timestamp = _timestamp(fields)
    return None if timestamp is None else format_micro_time(timestamp)


def _timestamp(fields: Mapping[int, Any]) -> datetime | None:
    seconds = _signed(fields.get(1, 0))
    if seconds <= 0:
        return None
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=fields.get(2, 0) // 1000)


def _int_or_string(fields: Mapping[int, Any]) -> int | str:
    return fields[3].decode() if fields.get(1) else _signed(fields.get(2, 0))


def _json(fields: Mapping[int, Any]) -> Any:
    return json.loads(fields[1]) if fields.get(1) else None


SPECIAL: Mapping[str, Callable[[Mapping[int, Any]], Any]] = {
    "meta.Time": _time,
    "meta.MicroTime": _micro_time,
    "meta.Duration": lambda fields: f"{_signed(fields.get(1, 0)) / 1e9:g}s",
    "meta.FieldsV1": _json,
    "resource.Quantity": lambda fields: fields.get(1, b"").decode(),
    "intstr.IntOrString": _int_or_string,
    "runtime.RawExtension": _json,
}
