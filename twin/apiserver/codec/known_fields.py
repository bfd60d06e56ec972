"""The fields of builtin kinds: others are dropped with a warning, or refused by strict validation.

The fields are those of `protobuf.txt`, which is generated from Kubernetes' own sources.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from twin.apiserver.codec import protobuf
from twin.apiserver.meta.errors import ApiError, Object


@dataclass(frozen=True, slots=True)
class UnknownField:
    """A field that a kind does not have."""

    path: tuple[str | int, ...]
    known: tuple[str, ...]
    """The fields that the kind has at that place."""

    def __str__(self) -> str:
        """Return the path as in errors of an API server: `spec.containers[0].imgae`."""
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path)
        return "".join(steps).removeprefix(".")


def drop_unknown_fields(api_version: str, kind: str, obj: Mapping[str, Any], unknown: list[UnknownField]) -> Object:
    """Return an object (or a patch) without unknown fields, which are appended to `unknown`."""
    try:
        root = protobuf.message_name(api_version, kind)
    except ApiError:
        return dict(obj)
    identity = {name: obj[name] for name in ("apiVersion", "kind") if name in obj}
    rest = {name: value for name, value in obj.items() if name not in identity}
    return {**identity, **_known(root, "", rest, (), unknown)}


def _known(message: str, container: str, value: Any, path: tuple[str | int, ...], unknown: list[UnknownField]) -> Any:
    """Return the known part of a value. Values of a wrong type are left for other checks to refuse."""
    if container == "[" and isinstance(value, list):
        return [_known(message, "", item, (*path, index), unknown) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if container == "{":
        return {name: _known(message, "", item, (*path, name), unknown) for name, item in value.items()}
    kept, fields = {}, protobuf.fields_of(message)
    for name, item in value.items():
        field = fields.get(name)
        if field is not None and field.kind in protobuf.messages() and field.kind not in protobuf.SPECIAL:
            kept[name] = _known(field.kind, field.container, item, (*path, name), unknown)
        elif field is not None or name.startswith("$"):  # a directive of a strategic merge patch
            kept[name] = item
        else:
            unknown.append(UnknownField((*path, name), tuple(fields)))
    return kept
