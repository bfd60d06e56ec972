"""JSON types of all fields of builtin kinds: what a real server refuses while it decodes a body into Go structs.

The types are those of `protobuf.txt`. As with Go, a null is the same as an absent field, or as the zero value where it
is an element of a list or a map. Values that pass are safe to read for every rule behind this check.
Source of the messages: `sigs.k8s.io/json`, and `UnmarshalJSON` of Time, Quantity and IntOrString.
"""

import binascii
import operator
from base64 import b64decode
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any

from formats.errors import FormatError
from formats.quantities import parse_quantity
from formats.timestamps import parse_timestamp
from twin.apiserver.codec import protobuf
from twin.apiserver.codec.protobuf import Field, fields_of
from twin.apiserver.meta.errors import ApiError, Object, bad_request
from twin.apiserver.schema.resource_types import ResourceType
from twin.apiserver.schema.value_validations import json_type

_META = "meta.ObjectMeta"
_INT64 = frozenset(
    {
        "activeDeadlineSeconds",
        "deletionGracePeriodSeconds",
        "expirationSeconds",
        "fsGroup",
        "generation",
        "gracePeriodSeconds",
        "observedGeneration",
        "runAsGroup",
        "runAsUser",
        "terminationGracePeriodSeconds",
        "tolerationSeconds",
    }
)
"""Integer fields of 64 bits; all others have 32."""
_MOST_DIGITS = 64
"""Characters of a quantity; a real server rounds longer numbers."""


class FieldTypeError(ValueError):
    """A value that cannot be decoded into its field."""


def decode_object(kind: ResourceType, obj: Object) -> Object:
    """Return an object without nulls. Of custom resources only `metadata` is checked here, the rest by their schema.

    Raises:
        ApiError: 400 if a field has the wrong type.
    """
    try:
        return typed_object(kind, obj)
    except FieldTypeError as error:
        message = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {error}'
        raise bad_request(message) from None


def decode_message(name: str, kind: str, version: str, obj: Object) -> Object:
    """Return a body that is no stored object, such as DeleteOptions, without nulls.

    Raises:
        ApiError: 400 if a field has the wrong type.
    """
    try:
        return _object(name, obj, "")
    except FieldTypeError as error:
        raise bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {error}') from None


def typed_object(kind: ResourceType, obj: Object) -> Object:
    """Return an object without nulls.

    Raises:
        FieldTypeError: if a field has the wrong type.
    """
    root = None if kind.custom else _message_of(kind.api_version, kind.kind)
    if root is not None:
        return _object(root, obj, "")
    if obj.get("metadata") is None:
        return {key: value for key, value in obj.items() if key != "metadata"}
    return {**obj, "metadata": _value(Field("metadata", _META, ""), obj["metadata"], kind.kind, "metadata")}


@cache
def _message_of(api_version: str, kind: str) -> str | None:
    try:
        return protobuf.message_name(api_version, kind)
    except ApiError:
        return None


_GO_TYPES = {"s": "string", "i": "int32", "b": "bool", "d": "float64", "y": "[]uint8"}


def _go_type(field: Field) -> str:
    """Return the type of a field in messages."""
    prefix = {"[": "[]", "{": "map[string]"}.get(field.container, "")
    return prefix + _GO_TYPES.get(field.kind, f"v1.{field.kind.rpartition('.')[2]}")


def _object(message: str, value: Object, path: str) -> Object:
    """Return an object with checked fields; fields that are not in the table are kept."""
    fields, struct = fields_of(message), message.rpartition(".")[2]
    result: Object = {}
    for name, item in value.items():
        field = fields.get(name)
        if field is None:
            result[name] = item
        elif item is not None:
            result[name] = _value(field, item, struct, f"{path}.{name}" if path else name)
    return value if _is_same(value.values(), result.values()) else result


def _is_same(before: Collection[Any], after: Collection[Any]) -> bool:
    """Return whether all values are the same objects; rules skip what has not been replaced."""
    return len(before) == len(after) and all(map(operator.is_, before, after))


def _value(field: Field, value: Any, struct: str, path: str) -> Any:
    if field.container == "[":
        if not isinstance(value, list):
            raise _mismatch(value, field, struct, path)
        items = [_item(field, item, struct, path) for item in value]
        return value if _is_same(value, items) else items
    if field.container == "{":
        if not isinstance(value, dict):
            raise _mismatch(value, field, struct, path)
        named = {name: _item(field, item, struct, path) for name, item in value.items()}
        return value if _is_same(value.values(), named.values()) else named
    return _item(field, value, struct, path)


def _item(field: Field, value: Any, struct: str, path: str) -> Any:
    kind = field.kind
    if value is None:
        return _ZEROS.get(kind) if kind in _ZEROS or kind in protobuf.SPECIAL else {}
    if kind in _SCALARS:
        if type(value) not in _SCALARS[kind]:
            raise _mismatch(value, Field(field.name, kind, ""), struct, path)
        if kind == "i":
            _check_range(field, value, struct, path)
        if kind == "y":
            _check_base64(value)
        return value
    if kind in _SPECIAL:
        _SPECIAL[kind](value)
        return value
    if kind in protobuf.SPECIAL:
        return value
    if not isinstance(value, dict):
        raise _mismatch(value, Field(field.name, kind, ""), struct, path)
    return _object(kind, value, path)


_ZEROS: Mapping[str, Any] = {"s": "", "i": 0, "b": False, "d": 0.0, "y": ""}
_SCALARS: Mapping[str, tuple[type, ...]] = {"s": (str,), "i": (int,), "b": (bool,), "d": (int, float), "y": (str,)}


def _mismatch(value: Any, field: Field, struct: str, path: str) -> FieldTypeError:
    described = {"integer": "number", "boolean": "bool"}.get(json_type(value), json_type(value))
    text = f"number {value}" if type(value) is float and _go_type(field) == "int32" else described
    return FieldTypeError(
        f"json: cannot unmarshal {text} into Go struct field {struct}.{path} of type {_go_type(field)}"
    )


def _check_range(field: Field, value: int, struct: str, path: str) -> None:
    bits = 64 if field.name in _INT64 else 32
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        detail = f"into Go struct field {struct}.{path} of type int{bits}"
        raise FieldTypeError(f"json: cannot unmarshal number {str(value)[:_MOST_DIGITS]} {detail}")


def _check_base64(value: str) -> None:
    try:
        b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise FieldTypeError("illegal base64 data at input byte 0") from None


def _check_time(value: Any) -> None:
    if not isinstance(value, str):
        raise FieldTypeError(f"json: cannot unmarshal {json_type(value)} into Go value of type string")
    try:
        parse_timestamp(value)
    except FormatError:
        shown = value[:_MOST_DIGITS]
        raise FieldTypeError(
            f'parsing time "{shown}" as "2006-01-02T15:04:05Z07:00": cannot parse "{shown}" as "2006"'
        ) from None


def _check_quantity(value: Any) -> None:
    text = value if isinstance(value, str) else str(value) if type(value) in (int, float) else ""
    try:
        if len(text) > _MOST_DIGITS or not parse_quantity(text).is_finite():
            raise FormatError("too long")
    except (FormatError, ArithmeticError):
        raise FieldTypeError(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        ) from None


def _check_int_or_string(value: Any) -> None:
    if type(value) not in (int, str):
        raise FieldTypeError(f"json: cannot unmarshal {json_type(value)} into Go value of type int32")
    if type(value) is int and not -(1 << 31) <= value < 1 << 31:
        raise FieldTypeError(f"json: cannot unmarshal number {str(value)[:_MOST_DIGITS]} into Go value of type int32")


_SPECIAL: Mapping[str, Callable[[Any], None]] = {
    "meta.Time": _check_time,
    "meta.MicroTime": _check_time,
    "resource.Quantity": _check_quantity,
    "intstr.IntOrString": _check_int_or_string,
}
