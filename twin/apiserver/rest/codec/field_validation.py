"""`fieldValidation`: what a client asks to be done about fields that a kind does not have.

They are dropped in any case. `Strict` (which kubectl asks for) refuses the request instead, `Warn` says so in a header.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from twin.apiserver.meta.errors import ApiError, bad_request
from twin.apiserver.rest.codec.known_fields import drop_unknown_fields
from twin.apiserver.rest.http import Request, Response
from twin.apiserver.schema.resource_types import ResourceType

_ALWAYS = ("apiVersion", "kind", "metadata")


@dataclass(slots=True)
class FieldValidation:
    """Of one request."""

    level: str
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, request: Request) -> "FieldValidation":
        """As the request asks for it; `Warn` if it does not say. That there is such a level has been checked."""
        return cls(request.query.get("fieldValidation") or "Warn")

    def accept(self, kind: ResourceType, obj: Any, how: Literal["whole", "patch", "apply"] = "whole") -> Any:
        """What is taken of an object or a patch: not the fields that its kind does not have.

        Raises:
            ApiError: there are such fields, and the request is to be strict (400, 422) or an apply (500).
        """
        if not isinstance(obj, dict):
            return obj
        names: list[str] = []
        if not kind.custom:
            obj = drop_unknown_fields(kind.api_version, kind.kind, obj, names)
        elif kind.schema is not None:
            given = {name: value for name, value in obj.items() if name not in _ALWAYS}
            names += _unknown(kind.schema, given, "")
        if names and how == "apply":
            raise _not_declared(kind, obj.get("metadata") or {}, names)
        unknown = [f'unknown field "{name}"' for name in names]
        if not unknown or self.level == "Ignore":
            return obj
        if self.level == "Warn":
            self.warnings += unknown
            return obj
        found = ", ".join(unknown)
        if how == "patch":
            raise ApiError(422, "Invalid", f' "" is invalid: patch: Invalid value: strict decoding error: {found}')
        said = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}'
        raise bad_request(f"{said}: strict decoding error: {found}")

    def warning_headers(self, reply: Response) -> Response:
        """The reply, with the warnings as headers would carry them."""
        if not self.warnings:
            return reply
        quote = (warning.replace('"', '\\"') for warning in self.warnings)
        text = ", ".join(f'299 - "{warning}"' for warning in quote)
        return Response(reply.body, reply.status, reply.content_type, {**reply.headers, "warning": text})


def _not_declared(kind: ResourceType, meta: Mapping[str, Any], names: list[str]) -> ApiError:
    """What an apply says, whatever it asks for: it cannot own a field that there is not."""
    version = f"{kind.group}/{kind.version}, Kind={kind.kind}"
    about = f"{meta.get('namespace', '')}/{meta.get('name', '')}; {version}"
    faults = [f".{name}: field not declared in schema" for name in names]
    said = faults[0] if len(faults) == 1 else "errors:" + "".join(f"\n  {fault}" for fault in faults)
    return ApiError(500, "", f"failed to create typed patch object ({about}): {said}")


def _unknown(schema: Mapping[str, Any], value: Any, path: str) -> Iterator[str]:
    """Paths of fields that the schema does not have."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    if isinstance(value, list):
        for at, item in enumerate(value):
            yield from _unknown(schema.get("items") or {}, item, f"{path}[{at}]")
        return
    if not isinstance(value, dict):
        return
    properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
    for name, item in value.items():
        here = f"{path}.{name}" if path else name
        if name in properties:
            yield from _unknown(properties[name], item, here)
        elif isinstance(others, dict):
            yield from _unknown(others, item, here)
        elif not others:
            yield here
