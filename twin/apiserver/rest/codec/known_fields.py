"""The fields of builtin kinds: others are dropped with a warning, or refused by strict validation.

The fields are those of `protobuf.txt`, which is generated from Kubernetes' own sources.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from twin.apiserver.meta.errors import ApiError, Object
from twin.apiserver.rest.codec import protobuf


class _Field(NamedTuple):
    """A field; `message` is empty if its value is not checked."""

    message: str
    container: str


def drop_unknown_fields(api_version: str, kind: str, obj: Mapping[str, Any], unknown: list[str]) -> Object:
    """Return an object (or a patch) without unknown fields; append their paths to `unknown`."""
    try:
        root = protobuf.message_name(api_version, kind)
    except ApiError:
        return dict(obj)
    identity = {name: obj[name] for name in ("apiVersion", "kind") if name in obj}
    rest = {name: value for name, value in obj.items() if name not in identity}
    return {**identity, **_known(root, "", rest, "", unknown)}


def _known(message: str, container: str, value: Any, path: str, unknown: list[str]) -> Any:
    """Return the known part of a value. Values of a wrong type are left for other checks to refuse."""
    if container == "[" and isinstance(value, list):
        return [_known(message, "", item, f"{path}[{index}]", unknown) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if container == "{":
        return {name: _known(message, "", item, f"{path}.{name}", unknown) for name, item in value.items()}
    kept, fields = {}, _fields(message)
    for name, item in value.items():
        item_path = f"{path}.{name}" if path else name
        field = fields.get(name)
        if field is not None and field.message:
            kept[name] = _known(field.message, field.container, item, item_path, unknown)
        elif field is not None or name.startswith("$"):  # a directive of a strategic merge patch
            kept[name] = item
        else:
            unknown.append(item_path)
    return kept


@cache
def _fields(message: str) -> Mapping[str, _Field]:
    fields: dict[str, _Field] = {}
    for field in protobuf.messages()[message].values():
        if field.inline:
            fields |= _fields(field.kind)
        else:
            nested = "" if len(field.kind) == 1 or field.kind in protobuf.SPECIAL else field.kind
            fields[field.name] = _Field(nested, field.container)
    return fields
