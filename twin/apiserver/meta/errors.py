"""Errors of the API server: `ApiError`, and the field errors within a 422.

Messages are Kubernetes' own, word for word where people and programs match on them, so that a client cannot
distinguish the store from a real server. An error carries the whole `Status` object, so HTTP can return it as it is.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
"""A JSON object. Objects that were given to the store must not be mutated: a write replaces them."""


class ApiError(Exception):
    """A refused request.

    Attributes:
        code: HTTP status.
        reason: Kubernetes' reason.
        message: message for people.
        details: details of the Status.
        retry_after: seconds after which the client should retry, if the server says so.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Object | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code, reason, message)  # SimPy and pickle create a copy from these
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.message

    @property
    def status(self) -> Object:
        """The `metav1.Status` that a real server sends as body."""
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
    """An error of one field (Kubernetes' `field.Error`).

    Attributes:
        field: path of the field.
        reason: reason of the cause in a Status, such as `FieldValueInvalid`.
        body: message without the field.
    """

    field: str
    reason: str
    body: str

    def __str__(self) -> str:
        return f"{self.field}: {self.body}"


def quote(value: object) -> str:
    """Return a value as Kubernetes prints it in a field error: strings in quotes, the rest as JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def required(field: str, detail: str = "") -> FieldError:
    """Error: the field is missing."""
    return FieldError(field, "FieldValueRequired", f"Required value: {detail}" if detail else "Required value")


def invalid(field: str, value: object, detail: str) -> FieldError:
    """Error: the value breaks a rule."""
    return FieldError(field, "FieldValueInvalid", f"Invalid value: {quote(value)}: {detail}")


def wrong_type(field: str, actual: str, expected: str) -> FieldError:
    """Error: the value has another JSON type than the schema."""
    detail = f'{field} in body must be of type {expected}: "{actual}"'
    return FieldError(field, "FieldValueTypeInvalid", f'Invalid value: "{actual}": {detail}')


def unsupported(field: str, value: object, supported: Sequence[object]) -> FieldError:
    """Error: the value is not one of the supported ones."""
    allowed = ", ".join(quote(option) for option in supported)
    return FieldError(
        field, "FieldValueNotSupported", f"Unsupported value: {quote(value)}: supported values: {allowed}"
    )


def forbidden_field(field: str, detail: str) -> FieldError:
    """Error: the field must not be set or changed."""
    return FieldError(field, "FieldValueForbidden", f"Forbidden: {detail}")


def too_long(field: str, limit: int) -> FieldError:
    """Error: the text has more than `limit` bytes."""
    return FieldError(field, "FieldValueTooLong", f"Too long: may not be more than {limit} bytes")


def too_many(field: str, count: int, limit: int) -> FieldError:
    """Error: the list or map has more than `limit` entries."""
    return FieldError(field, "FieldValueTooMany", f"Too many: {count}: must have at most {limit} items")


def duplicate(field: str, value: object) -> FieldError:
    """Error: the value is already in the list."""
    return FieldError(field, "FieldValueDuplicate", f"Duplicate value: {quote(value)}")


def _qualified(plural: str, group: str) -> str:
    return f"{plural}.{group}" if group else plural


def _details(name: str, group: str, kind: str) -> Object:
    details = {"name": name, "group": group, "kind": kind}
    return {key: value for key, value in details.items() if value}


def not_found(plural: str, group: str, name: str) -> ApiError:
    """Return a 404 for an object that does not exist."""
    return ApiError(
        404, "NotFound", f'{_qualified(plural, group)} "{name}" not found', details=_details(name, group, plural)
    )


def no_such_resource(resource: str) -> ApiError:
    """Return a 404 for a kind that is not served."""
    message = f"the server could not find the requested resource ({resource}): no such kind has been registered"
    return ApiError(404, "NotFound", message)


def already_exists(plural: str, group: str, name: str) -> ApiError:
    """Return a 409 for a create of an existing object."""
    return ApiError(
        409,
        "AlreadyExists",
        f'{_qualified(plural, group)} "{name}" already exists',
        details=_details(name, group, plural),
    )


STALE = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(plural: str, group: str, name: str, cause: str = STALE) -> ApiError:
    """Return a 409 for a request that was made for another object or another version of it."""
    return ApiError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {_qualified(plural, group)} "{name}": {cause}',
        details=_details(name, group, plural),
    )


def unprocessable(kind: str, group: str, name: str, errors: Sequence[FieldError]) -> ApiError:
    """Return a 422 with one cause for each field error."""
    texts = list(dict.fromkeys(str(error) for error in errors))
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    return ApiError(
        422,
        "Invalid",
        f'{_qualified(kind, group)} "{name}" is invalid: {text}',
        details={**_details(name, group, kind), "causes": _causes(errors)},
    )


def undecodable(kind: str, version: str, errors: Sequence[FieldError]) -> ApiError:
    """Return a 400 for a builtin object whose fields have the wrong type, with one cause for each."""
    message = f'{kind} in version "{version}" cannot be handled as a {kind}: {errors[0]}'
    return ApiError(400, "BadRequest", message, details={"causes": _causes(errors)})


def _causes(errors: Sequence[FieldError]) -> list[Object]:
    return [{"reason": error.reason, "message": error.body, "field": error.field} for error in errors]


def forbidden(plural: str, group: str, name: str, reason: str, causes: Sequence[Object] = ()) -> ApiError:
    """Return a 403 with which admission refuses an object; `NewForbidden` of `apimachinery/pkg/api/errors`."""
    resource = f"{plural}.{group}" if group else plural
    details: dict[str, Any] = {"name": name, "kind": plural}
    if group:
        details["group"] = group
    if causes:
        details["causes"] = list(causes)
    return ApiError(403, "Forbidden", f'{resource} "{name}" is forbidden: {reason}', details=details)


def bad_request(message: str) -> ApiError:
    """Return a 400 for a request that is wrong whatever the state."""
    return ApiError(400, "BadRequest", message)


def version_too_large(requested: str, current: str) -> ApiError:
    """Return the 504 for a version in the future; clients wait a second or ask for the current version."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    message = f"Too large resource version: {requested}, current: {current}"
    return ApiError(504, "Timeout", message, details={"causes": [cause]}, retry_after=1.0)


def expired(message: str) -> ApiError:
    """Return a 410 for a version that has been compacted."""
    return ApiError(410, "Expired", message)


def unsupported_patch(message: str) -> ApiError:
    """Return a 415 for a patch type that the kind does not support."""
    return ApiError(415, "UnsupportedMediaType", message)
