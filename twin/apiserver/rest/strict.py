"""`fieldValidation`: what a client asks to be done about fields that the schema of a custom resource does not know.

They are dropped in any case. `Strict` (which kubectl asks for) refuses the request instead, `Warn` says so in a header.
Of builtin kinds the store knows no whole schema, so nothing is said about theirs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from twin.apiserver.errors import ApiError, bad_request
from twin.apiserver.kinds import ResourceType
from twin.apiserver.rest.call import Call, Reply

_ALWAYS = ("apiVersion", "kind", "metadata")


@dataclass(slots=True)
class Strictness:
    """Of one request."""

    level: str
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, call: Call) -> "Strictness":
        """As the request asks for it; `Warn` if it does not say. That there is such a level has been checked."""
        return cls(call.query.get("fieldValidation") or "Warn")

    def check(self, kind: ResourceType, obj: Any, *, patch: bool = False) -> None:
        """Look for unknown fields; remember them, or refuse the request with 400."""
        if self.level == "Ignore" or kind.schema is None or not isinstance(obj, dict):
            return
        given = {name: value for name, value in obj.items() if name not in _ALWAYS}
        unknown = [f'unknown field "{path}"' for path in _unknown(kind.schema, given, "")]
        if not unknown:
            return
        if self.level == "Warn":
            self.warnings += unknown
            return
        found = ", ".join(unknown)
        if patch:
            raise ApiError(422, "Invalid", f' "" is invalid: patch: Invalid value: strict decoding error: {found}')
        said = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}'
        raise bad_request(f"{said}: strict decoding error: {found}")

    def warned(self, reply: Reply) -> Reply:
        """The reply, with the warnings as headers would carry them."""
        if not self.warnings:
            return reply
        quoted = (warning.replace('"', '\\"') for warning in self.warnings)
        text = ", ".join(f'299 - "{warning}"' for warning in quoted)
        return Reply(reply.body, reply.status, reply.content_type, {**reply.headers, "warning": text})


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
