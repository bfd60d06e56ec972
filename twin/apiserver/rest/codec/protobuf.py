"""Kubernetes' protobuf, read only: clients made with client-go send builtin kinds in it, whatever they get back.

The fields of each message are in `protobuf.txt`, which `.ci/protobuf-table` makes from the Go sources. What comes out
is the JSON that the same client would have sent: zero values are left out where Go would, times are RFC 3339.
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
}
"""Packages whose name is not the first part of their group."""


def decode(body: bytes) -> Object:
    """The object in a request's body.

    Raises:
        ApiError: 400, it is none; 415, it is of a kind whose fields are not known here.
    """
    if not body.startswith(_MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        envelope = {number: value for number, _, value in _fields(body[len(_MAGIC) :])}
        identity = {number: value.decode() for number, _, value in _fields(envelope.get(1, b""))}
        api_version, kind = identity.get(1, ""), identity.get(2, "")
        decoded: Object = _message(root(api_version, kind), envelope.get(2, b""))
    except (IndexError, ValueError, struct.error, AttributeError) as error:
        raise bad_request(f"the body is no protobuf message that can be read: {error}") from error
    return {"kind": kind, "apiVersion": api_version, **decoded}


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    kind: str
    """A letter for a scalar, else the message's name."""
    container: str
    """`[`, `{` or empty."""
    keeps_zero: bool
    inline: bool


@cache
def messages() -> Mapping[str, Mapping[int, _Field]]:
    found = {}
    for line in (files("twin.apiserver.rest.codec") / "protobuf.txt").read_text(encoding="utf-8").splitlines():
        name, *fields = line.split(" ")
        found[name] = dict(map(_parsed, fields))
    return found


def _parsed(text: str) -> tuple[int, _Field]:
    number, name, kind = text.split(":")
    inline, keeps = kind.endswith("^"), kind.endswith("?")
    kind = kind.rstrip("?^")
    container = kind[0] if kind[0] in "[{" else ""
    return int(number), _Field(name, kind.lstrip("[{"), container, keeps, inline)


def root(api_version: str, kind: str) -> str:
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
    """Number, wire type and value of each field: an integer, or the bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > len(data):
            raise ValueError("it is cut off")
        yield number, wire, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _message(name: str, data: bytes) -> Any:
    if name in SPECIAL:
        return SPECIAL[name]({number: value for number, _, value in _fields(data)})
    known = messages()[name]
    found: Object = {}
    for number, _, raw in _fields(data):
        field = known.get(number)
        if field is None:
            continue  # of a newer Kubernetes: dropped, as a real server does
        if field.container == "{":
            pair = {number: value for number, _, value in _fields(raw)}
            value = _value(field.kind, pair.get(2, b"" if field.kind not in ("i", "b") else 0))
            found.setdefault(field.name, {})[pair.get(1, b"").decode()] = value
        elif field.container == "[":
            found.setdefault(field.name, []).append(_value(field.kind, raw))
        elif field.inline:
            found.update(_value(field.kind, raw))
        else:
            value = _value(field.kind, raw)
            if field.keeps_zero or value not in (None, "", 0, False):
                found[field.name] = value
    return found


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
    """A Time; the zero one is no time at all."""
    moment = _moment(fields)
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _micro_time(fields: Mapping[int, Any]) -> str | None:
    moment = _moment(fields)
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _moment(fields: Mapping[int, Any]) -> datetime | None:
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
