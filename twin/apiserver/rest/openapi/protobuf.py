"""OpenAPI v2 in protobuf, the only form that client-go requests (`DiscoveryInterface.OpenAPISchema`).

Source: `openapiv2/OpenAPIv2.proto` of github.com/google/gnostic-models. Keywords of later OpenAPI versions do not exist
there and are omitted, as by a real server.
"""

import struct
from collections.abc import Mapping
from typing import Any

from twin.apiserver.codec.body import encode_json
from twin.apiserver.meta.errors import Object

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_TEXTS = {"$ref": 1, "format": 2, "title": 3, "description": 4, "pattern": 13}
_DOUBLES = {"multipleOf": 6, "maximum": 7, "minimum": 9}
_FLAGS = {"exclusiveMaximum": 8, "exclusiveMinimum": 10, "uniqueItems": 16}
_COUNTS = {"maxLength": 11, "minLength": 12, "maxItems": 14, "minItems": 15, "maxProperties": 17, "minProperties": 18}
_VERBS = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 7}


def is_accepted(media_type: str) -> bool:
    """Return whether a client that accepts this media type gets protobuf."""
    return "protobuf" in media_type


def encode(v2: Object) -> bytes:
    """Return an OpenAPI v2 document as protobuf."""
    info = _text(1, v2["info"]["title"]) + _text(2, v2["info"]["version"])
    paths = b"".join(_named(2, path, _path_item(item)) for path, item in v2["paths"].items())
    definitions = b"".join(_named(1, name, _schema(schema)) for name, schema in v2["definitions"].items())
    return _text(1, v2["swagger"]) + _part(2, info) + _part(8, paths) + _part(9, definitions)


def _path_item(item: Mapping[str, Object]) -> bytes:
    return b"".join(_part(_VERBS[verb], _operation(operation)) for verb, operation in item.items())


def _operation(operation: Object) -> bytes:
    encoded = _text(5, operation["operationId"])
    for parameter in operation["parameters"]:
        query = _text(2, parameter["in"]) + _text(4, parameter["name"]) + _text(6, parameter["type"])
        encoded += _part(8, _part(1, _part(2, _part(3, query))))  # item > parameter > non-body > query
    responses = b""
    for code, response in operation["responses"].items():
        content = _text(1, response["description"]) + _part(2, _part(1, _schema(response["schema"])))
        responses += _named(1, code, _part(1, content))
    return encoded + _part(9, responses) + _extensions(13, operation)


def _schema(schema: Mapping[str, Any]) -> bytes:
    match schema:
        case {"allOf": [{"$ref": str(only)}]}:  # $ref beside other keywords is allowed here
            schema = {**{name: value for name, value in schema.items() if name != "allOf"}, "$ref": only}
    encoded = b"".join(_text(number, schema[name]) for name, number in _TEXTS.items() if name in schema)
    for name, number in _DOUBLES.items():
        if name in schema:
            encoded += _tag(number, 1) + struct.pack("<d", schema[name])
    for name, number in (_FLAGS | _COUNTS).items():
        if name in schema:
            encoded += _tag(number, 0) + _varint(int(schema[name]))
    if "default" in schema:
        encoded += _part(5, _any(schema["default"]))
    encoded += b"".join(_text(19, name) for name in schema.get("required") or ())
    encoded += b"".join(_part(20, _any(value)) for value in schema.get("enum") or ())
    return encoded + _children(schema) + _extensions(31, schema)


def _children(schema: Mapping[str, Any]) -> bytes:
    """Return the encoded schemas of nested values."""
    encoded = b""
    match schema.get("additionalProperties"):
        case bool(allowed):
            encoded += _part(21, _tag(2, 0) + _varint(int(allowed)))
        case dict(values):
            encoded += _part(21, _part(1, _schema(values)))
    if "type" in schema:
        encoded += _part(22, _text(1, schema["type"]))
    if "items" in schema:
        encoded += _part(23, _part(1, _schema(schema["items"])))
    if "properties" in schema:
        encoded += _part(25, b"".join(_named(1, name, _schema(child)) for name, child in schema["properties"].items()))
    return encoded


def _extensions(number: int, fields: Mapping[str, Any]) -> bytes:
    return b"".join(_named(number, name, _any(value)) for name, value in fields.items() if name.startswith("x-"))


def _any(value: Any) -> bytes:
    """Return a value as YAML (JSON is valid YAML)."""
    return _part(2, encode_json(value))


def _named(number: int, name: str, value: bytes) -> bytes:
    return _part(number, _text(1, name) + _part(2, value))


def _text(number: int, text: str) -> bytes:
    return _part(number, text.encode())


def _part(number: int, content: bytes) -> bytes:
    return _tag(number, 2) + _varint(len(content)) + content


def _tag(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
