"""Bodies of requests: JSON, then a pydantic model.

Errors are worded as FastAPI and vLLM word them (vllm/entrypoints/serve/exception_handling/handlers/validation.py).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import SchemaValidator, from_json

_MAX_MESSAGE = 4096  # characters; a limit of the fake: the input that is quoted may have megabytes
_MAX_ERRORS, _MAX_INPUT, _MAX_ERROR = 10, 200, 1000  # vLLM, handlers/validation.py: entries; characters of each
_INTERNAL = frozenset(
    {
        *("function-wrap", "function-after", "function-before", "function-plain", "json-or-python", "lax-or-strict"),
        *("chain", "default", "nullable", "tagged-union", "union", "call", "arguments", "is-instance", "is-subclass"),
        *("callable", "str", "int", "float", "bool", "bytes", "bytearray", "list", "tuple", "dict", "set"),
        *("frozenset", "complex", "none", "nonetype"),
    }
)
"""Parts of `loc` that name a branch of a union rather than a field; the same file."""
M = TypeVar("M", bound=BaseModel)


class VLLMValidationError(Exception):
    """A value that a validator refuses. Named as in vLLM, because messages quote the exception.

    It is no `ValueError`, so pydantic passes it on as it is.
    """

    def __init__(self, message: str, *, parameter: str | None = None, value: Any = None) -> None:
        super().__init__(message)
        self.parameter = parameter
        self.value = value

    def __str__(self) -> str:
        details = {"parameter": self.parameter, "value": self.value}
        text = ", ".join(f"{name}={value}" for name, value in details.items() if value is not None)
        return f"{super().__str__()} ({text})" if text else super().__str__()


class RequestValidationError(Exception):
    """The body is not what the route takes.

    Attributes:
        errors: pydantic's entries, one for each error; or texts.
        cause: exception of a validator that ended the validation, None if pydantic collected the errors.
    """

    def __init__(self, errors: Sequence[Any], cause: Exception | None = None) -> None:
        super().__init__(errors)
        self.errors = errors
        self.cause = cause

    def __str__(self) -> str:
        message = _listed([str(error) for error in self.errors], len(self.errors))
        return message if len(message) <= _MAX_MESSAGE else message[:_MAX_MESSAGE] + "...[truncated]"

    @property
    def bounded(self) -> str:
        """The message of newer releases, in which places are readable and inputs are not quoted in full."""
        return _listed([_bounded(error) for error in self.errors[:_MAX_ERRORS]], len(self.errors))

    @property
    def param(self) -> str | None:
        """The refused parameter, or the place of the first error."""
        if isinstance(self.cause, VLLMValidationError) and self.cause.parameter:
            return self.cause.parameter
        first = self.errors[0] if self.errors else None
        return readable_place(first["loc"]) if isinstance(first, dict) else None


class UnreadableBodyError(RequestValidationError):
    """The body is not text, or nested too deeply to be read."""


def parse_body(model: type[M], content_type: str, raw: bytes, context: object = None) -> M:
    """Return the model that a body holds; `context` is passed to the model's validators.

    Raises:
        RequestValidationError: if it is not declared as JSON, not JSON, or does not fit the model.
    """
    body: M = parse_value(model.__pydantic_validator__, content_type, raw, context)  # type: ignore[arg-type]
    return body


def parse_value(validator: SchemaValidator, content_type: str, raw: bytes, context: object = None) -> Any:
    """Return what `validator` makes of a body.

    Raises:
        RequestValidationError: as `parse_body`.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise RequestValidationError(["Unsupported Media Type: Only 'application/json' is allowed"])
    body = _decode(raw)
    if body is None:
        raise RequestValidationError([{"type": "missing", "loc": ("body",), "msg": "Field required", "input": None}])
    try:
        return validator.validate_python(body, context=context)
    except ValidationError:
        pass
    except Exception as error:
        raise _unfit(error, body) from None
    try:  # again as FastAPI calls it, whose errors read differently; a third slower, so not for every request
        return validator.validate_python(body, from_attributes=True, context=context)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        raise RequestValidationError([{**item, "loc": ("body", *item["loc"])} for item in errors]) from None


def readable_place(loc: Sequence[Any]) -> str:
    """Return `loc` of an error in dots, without the names of unions' branches."""
    parts = [str(part) for part in loc]
    return ".".join([part for part in parts if not _is_internal(part)] or parts)


def _decode(raw: bytes) -> Any:
    """Return the JSON value of a body, None if it is empty."""
    if not raw:
        return None
    try:
        return from_json(raw)
    except ValueError:
        pass
    try:
        # Halves of surrogate pairs, which Python reads and no response can hold, become question marks.
        return json.loads(json.dumps(json.loads(raw), ensure_ascii=False).encode("utf-8", "replace"))
    except json.JSONDecodeError as error:
        raise RequestValidationError([_json_error(error)]) from None
    except (ValueError, RecursionError):
        raise UnreadableBodyError(["There was an error parsing the body"]) from None


def _json_error(error: json.JSONDecodeError) -> Mapping[str, Any]:
    """Return the error that FastAPI makes of a body that is not JSON."""
    return {
        "type": "json_invalid",
        "loc": ("body", error.pos),
        "msg": "JSON decode error",
        "input": {},
        "ctx": {"error": error.msg},
    }


def _unfit(error: Exception, body: object) -> RequestValidationError:
    """Return the error for an exception that a validator raised, as pydantic words it for a `ValueError`."""
    entry = {
        "type": "value_error",
        "loc": ("body",),
        "msg": f"Value error, {error}",
        "input": body,
        "ctx": {"error": error},
    }
    return RequestValidationError([entry], error)


def _listed(reported: Sequence[str], count: int) -> str:
    label = "error" if count == 1 else "errors"
    lines = "".join(f"\n  {text}" for text in reported)
    rest = f"\n  ...and {count - len(reported)} more {label}" if count > len(reported) else ""
    return f"{count} validation {label}:{lines}{rest}"


def _bounded(error: object) -> str:
    if isinstance(error, dict):
        error = {**error, "loc": readable_place(error["loc"]), "input": _summary(error["input"])}
    text = str(error)
    return text if len(text) <= _MAX_ERROR else text[:_MAX_ERROR] + "...[truncated]"


def _summary(value: object) -> str:
    """Return a short text for the input of an error."""
    if isinstance(value, bytes):
        return f"<bytes of {len(value)} bytes>"
    if isinstance(value, list | tuple | set | frozenset | dict):
        return f"<{type(value).__name__} of {len(value)} items>"
    try:
        text = str(value)
    except ValueError:  # a number with more digits than Python writes
        return f"<{type(value).__name__}>"
    return text if len(text) <= _MAX_INPUT else text[:_MAX_INPUT] + "...[truncated]"


def _is_internal(part: str) -> bool:
    return any(bracket in part for bracket in "[]{}()") or part.lower() in _INTERNAL
