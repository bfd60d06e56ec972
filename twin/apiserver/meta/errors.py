"""What an API server says when it does not do something: `ApiError`, and the field errors within a 422.

Texts are Kubernetes' own, word for word where people and programs match on them, so that a client cannot tell
the store from a real server. An error carries the whole `Status` object; HTTP can be put in front of it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
"""A JSON object. Nobody mutates one that the store has seen: a write replaces."""


class ApiError(Exception):
    """The server's refusal: HTTP `code`, Kubernetes' `reason`, a `message` for people."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Object | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}
        self.retry_after = retry_after
        """Seconds the client should wait before trying again, if the server says so."""

    @property
    def status(self) -> Object:
        """The `metav1.Status` that a real server sends as the body."""
        details = self.details
        if self.retry_after is not None:
            details = {**details, "retryAfterSeconds": int(self.retry_after)}
        body: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        return {**body, "details": details} if details else body


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong with one field (Kubernetes' `field.Error`)."""

    field: str
    reason: str
    """The cause's reason in a Status, e.g. `FieldValueInvalid`."""
    body: str
    """The message without the field."""

    def __str__(self) -> str:
        return f"{self.field}: {self.body}"


def quote(value: object) -> str:
    """A value as Kubernetes prints it in a field error: strings in quotes, the rest as JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def required(field: str, detail: str = "") -> FieldError:
    """The field has to be there."""
    return FieldError(field, "FieldValueRequired", f"Required value: {detail}" if detail else "Required value")


def invalid(field: str, value: object, detail: str) -> FieldError:
    """The field's value breaks a rule."""
    return FieldError(field, "FieldValueInvalid", f"Invalid value: {quote(value)}: {detail}")


def wrong_type(field: str, found: str, wanted: str) -> FieldError:
    """The field holds another JSON type than the schema says."""
    detail = f'{field} in body must be of type {wanted}: "{found}"'
    return FieldError(field, "FieldValueTypeInvalid", f'Invalid value: "{found}": {detail}')


def unsupported(field: str, value: object, supported: Sequence[object]) -> FieldError:
    """The field's value is none of those that are allowed."""
    allowed = ", ".join(quote(each) for each in supported)
    return FieldError(
        field, "FieldValueNotSupported", f"Unsupported value: {quote(value)}: supported values: {allowed}"
    )


def forbidden_field(field: str, detail: str) -> FieldError:
    """The field may not be set or changed here."""
    return FieldError(field, "FieldValueForbidden", f"Forbidden: {detail}")


def too_long(field: str, limit: int) -> FieldError:
    """The text has more than `limit` bytes."""
    return FieldError(field, "FieldValueTooLong", f"Too long: may not be more than {limit} bytes")


def too_many(field: str, found: int, limit: int) -> FieldError:
    """The list or map has more than `limit` entries."""
    return FieldError(field, "FieldValueTooMany", f"Too many: {found}: must have at most {limit} items")


def duplicate(field: str, value: object) -> FieldError:
    """The value is in the list already."""
    return FieldError(field, "FieldValueDuplicate", f"Duplicate value: {quote(value)}")


def _qualified(plural: str, group: str) -> str:
    return f"{plural}.{group}" if group else plural


def _details(name: str, group: str, kind: str) -> Object:
    found = {"name": name, "group": group, "kind": kind}
    return {key: value for key, value in found.items() if value}


def not_found(plural: str, group: str, name: str) -> ApiError:
    """There is no object of that name."""
    return ApiError(
        404, "NotFound", f'{_qualified(plural, group)} "{name}" not found', details=_details(name, group, plural)
    )


def no_such_resource(resource: str) -> ApiError:
    """There is no such kind of object."""
    message = f"the server could not find the requested resource ({resource}): no such kind has been registered"
    return ApiError(404, "NotFound", message)


def already_exists(plural: str, group: str, name: str) -> ApiError:
    """A create met an object of that name."""
    return ApiError(
        409,
        "AlreadyExists",
        f'{_qualified(plural, group)} "{name}" already exists',
        details=_details(name, group, plural),
    )


STALE = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(plural: str, group: str, name: str, cause: str = STALE) -> ApiError:
    """The object is not (or no longer) the one that the request was made for."""
    return ApiError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {_qualified(plural, group)} "{name}": {cause}',
        details=_details(name, group, plural),
    )


def unprocessable(kind: str, group: str, name: str, errors: Sequence[FieldError]) -> ApiError:
    """422 with all that is wrong with the object, each fault a cause."""
    texts = list(dict.fromkeys(str(error) for error in errors))
    said = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    return ApiError(
        422,
        "Invalid",
        f'{_qualified(kind, group)} "{name}" is invalid: {said}',
        details={**_details(name, group, kind), "causes": _causes(errors)},
    )


def undecodable(kind: str, version: str, errors: Sequence[FieldError]) -> ApiError:
    """400: fields of a builtin kind have the wrong type, so that it cannot be read; each is a cause."""
    message = f'{kind} in version "{version}" cannot be handled as a {kind}: {errors[0]}'
    return ApiError(400, "BadRequest", message, details={"causes": _causes(errors)})


def _causes(errors: Sequence[FieldError]) -> list[Object]:
    return [{"reason": error.reason, "message": error.body, "field": error.field} for error in errors]


def bad_request(message: str) -> ApiError:
    """The request makes no sense, whatever the state."""
    return ApiError(400, "BadRequest", message)


def expired(message: str) -> ApiError:
    """410: the history that was asked for has been forgotten."""
    return ApiError(410, "Expired", message)


def unsupported_patch(message: str) -> ApiError:
    """415: this kind does not take that sort of patch."""
    return ApiError(415, "UnsupportedMediaType", message)
