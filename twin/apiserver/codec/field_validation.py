"""`fieldValidation`: handling of unknown fields in a request.

Unknown fields are dropped in any case. `Strict` (kubectl's default) refuses the request instead, `Warn` adds a Warning
header, `Ignore` does nothing else.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from twin.apiserver.codec.known_fields import UnknownField, drop_unknown_fields
from twin.apiserver.meta.errors import ApiError, Object, bad_request
from twin.apiserver.schema.resource_types import ResourceType

_MAX_WARNINGS = 4096
"""Characters of the Warning header; `apiserver/pkg/endpoints/filters/warning.go`."""
_COMMON = ("apiVersion", "kind", "metadata")


@dataclass(slots=True)
class FieldValidation:
    """The field validation of one request.

    Attributes:
        level: `Strict`, `Warn` or `Ignore`.
        warnings: warnings so far.
    """

    level: str
    warnings: list[str] = field(default_factory=list)

    def accept(self, kind: ResourceType, obj: Any, how: Literal["whole", "patch", "apply"] = "whole") -> Any:
        """Return an object or a patch without unknown fields.

        Raises:
            ApiError: if there are unknown fields: 400 or 422 with `Strict`, 500 for an apply.
        """
        if not isinstance(obj, dict):
            return obj
        obj, names = split_unknown_fields(kind, obj)
        if names and how == "apply":
            meta = obj.get("metadata")
            raise _not_declared(kind, meta if isinstance(meta, dict) else {}, names)
        unknown = [f'unknown field "{name}"' for name in names]
        if not unknown or self.level == "Ignore":
            return obj
        if self.level == "Warn":
            self.warnings += unknown
            return obj
        text = ", ".join(unknown)
        if how == "patch":
            raise ApiError(422, "Invalid", f' "" is invalid: patch: Invalid value: strict decoding error: {text}')
        message = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}'
        raise bad_request(f"{message}: strict decoding error: {text}")

    def warning_headers(self) -> dict[str, str]:
        """Return the Warning header of the response, if there are warnings."""
        if not self.warnings:
            return {}
        quoted = (warning.replace("\\", "\\\\").replace('"', '\\"') for warning in self.warnings)
        text = ", ".join(f'299 - "{_printable(warning)}"' for warning in quoted)[:_MAX_WARNINGS]
        return {"warning": text.encode("latin-1", "replace").decode("latin-1")}


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


def split_unknown_fields(kind: ResourceType, obj: Object) -> tuple[Object, list[UnknownField]]:
    """Return an object (or a patch) and its unknown fields; those of builtin kinds are dropped from it."""
    unknown: list[UnknownField] = []
    if not kind.custom:
        return drop_unknown_fields(kind.api_version, kind.kind, obj, unknown), unknown
    if kind.schema is not None:
        fields = {name: value for name, value in obj.items() if name not in _COMMON}
        unknown += _unknown(kind.schema, fields, ())
    return obj, unknown


def _not_declared(kind: ResourceType, meta: Mapping[str, Any], names: list[UnknownField]) -> ApiError:
    """Return the error of an apply with unknown fields, which does not depend on the level."""
    version = f"{kind.group}/{kind.version}, Kind={kind.kind}"
    about = f"{meta.get('namespace', '')}/{meta.get('name', '')}; {version}"
    errors = [f".{name}: field not declared in schema" for name in names]
    text = errors[0] if len(errors) == 1 else "errors:" + "".join(f"\n  {error}" for error in errors)
    return ApiError(500, "", f"failed to create typed patch object ({about}): {text}")


def _unknown(schema: Mapping[str, Any], value: Any, path: tuple[str | int, ...]) -> Iterator[UnknownField]:
    """Yield the fields that the schema does not have."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown(schema.get("items") or {}, item, (*path, index))
        return
    if not isinstance(value, dict):
        return
    properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
    for name, item in value.items():
        if name in properties:
            yield from _unknown(properties[name], item, (*path, name))
        elif isinstance(others, dict):
            yield from _unknown(others, item, (*path, name))
        elif not others:
            yield UnknownField((*path, name), tuple(properties))
