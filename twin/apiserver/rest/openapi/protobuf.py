"""OpenAPI v2 in protobuf: the one form in which client-go asks for it (`DiscoveryInterface.OpenAPISchema`).

Source: `openapiv2/OpenAPIv2.proto` of github.com/google/gnostic-models. Words of later OpenAPI versions have no place
there and are left out, as a real server leaves them out.
"""

import struct
from collections.abc import Mapping
from typing import Any

from twin.apiserver.meta.errors import Object
from twin.apiserver.rest.http import encode_json

MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_TEXTS = {"$ref": 1, "format": 2, "title": 3, "description": 4, "pattern": 13}
_DOUBLES = {"multipleOf": 6, "maximum": 7, "minimum": 9}
_FLAGS = {"exclusiveMaximum": 8, "exclusiveMinimum": 10, "uniqueItems": 16}
_COUNTS = {"maxLength": 11, "minLength": 12, "maxItems": 14, "minItems": 15, "maxProperties": 17, "minProperties": 18}
_VERBS = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 7}


def document(v2: Object) -> bytes:
    """The whole document."""
    info = _text(1, v2["info"]["title"]) + _text(2, v2["info"]["version"])
    paths = b"".join(_named(2, path, _path_item(item)) for path, item in v2["paths"].items())
    definitions = b"".join(_named(1, name, _schema(schema)) for name, schema in v2["definitions"].items())
    return _text(1, v2["swagger"]) + _part(2, info) + _part(8, paths) + _part(9, definitions)


def _path_item(item: Mapping[str, Object]) -> bytes:
    return b"".join(_part(_VERBS[verb], _operation(operation)) for verb, operation in item.items())


def _operation(operation: Object) -> bytes:
    found = _text(5, operation["operationId"])
    for each in operation["parameters"]:
        query = _text(2, each["in"]) + _text(4, each["name"]) + _text(6, each["type"])
        found += _part(8, _part(1, _part(2, _part(3, query))))  # item: parameter: one not in the body: one in the query
    responses = b""
    for code, response in operation["responses"].items():
        content = _text(1, response["description"]) + _part(2, _part(1, _schema(response["schema"])))
        responses += _named(1, code, _part(1, content))
    return found + _part(9, responses) + _extensions(13, operation)


def _schema(schema: Mapping[str, Any]) -> bytes:
    match schema:
        case {"allOf": [{"$ref": str(only)}]}:  # a word about a reference: here it may stand beside it
            schema = {**{name: value for name, value in schema.items() if name != "allOf"}, "$ref": only}
    found = b"".join(_text(number, schema[name]) for name, number in _TEXTS.items() if name in schema)
    for name, number in _DOUBLES.items():
        if name in schema:
            found += _tag(number, 1) + struct.pack("<d", schema[name])
    for name, number in (_FLAGS | _COUNTS).items():
        if name in schema:
            found += _tag(number, 0) + _varint(int(schema[name]))
    if "default" in schema:
        found += _part(5, _any(schema["default"]))
    found += b"".join(_text(19, name) for name in schema.get("required") or ())
    found += b"".join(_part(20, _any(value)) for value in schema.get("enum") or ())
    return found + _children(schema) + _extensions(31, schema)


def _children(schema: Mapping[str, Any]) -> bytes:
    """What a schema says of the values within."""
    found = b""
    match schema.get("additionalProperties"):
        case bool(allowed):
            found += _part(21, _tag(2, 0) + _varint(int(allowed)))
        case dict(values):
            found += _part(21, _part(1, _schema(values)))
    if "type" in schema:
        found += _part(22, _text(1, schema["type"]))
    if "items" in schema:
        found += _part(23, _part(1, _schema(schema["items"])))
    if "properties" in schema:
        found += _part(25, b"".join(_named(1, name, _schema(each)) for name, each in schema["properties"].items()))
    return found


def _extensions(number: int, of: Mapping[str, Any]) -> bytes:
    return b"".join(_named(number, name, _any(value)) for name, value in of.items() if name.startswith("x-"))


def _any(value: Any) -> bytes:
    """A value as YAML, which JSON is."""
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
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
