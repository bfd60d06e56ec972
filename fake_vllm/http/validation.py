"""Bodies of requests: JSON, then a pydantic model.

Errors are worded as FastAPI and vLLM word them (vllm/entrypoints/serve/exception_handling/handlers/validation.py).
"""

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

_MAX_MESSAGE = 4096  # characters; a limit of the fake: the input that is quoted may have megabytes
M = TypeVar("M", bound=BaseModel)


class VLLMValidationError(ValueError):
    """A value that a validator refuses. Named as in vLLM, because messages quote the exception."""

    def __init__(self, message: str, *, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message} (parameter={self.parameter})" if self.parameter else message


class RequestValidationError(Exception):
    """The body is not what the route takes.

    Attributes:
        param: what vLLM names beside the message: the refused parameter, or the place of the first error.
    """

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param

    @classmethod
    def of(cls, errors: Sequence[Any]) -> "RequestValidationError":
        """Return the exception for a list of pydantic's errors."""
        lines = "".join(f"\n  {error}" for error in errors)
        message = f"{len(errors)} validation error{'s' if len(errors) > 1 else ''}:{lines}"
        if len(message) > _MAX_MESSAGE:
            message = message[:_MAX_MESSAGE] + "...[truncated]"
        return cls(message, _param(errors))


def parse_body(model: type[M], content_type: str, raw: bytes) -> M:
    """Return the model that a body holds.

    Raises:
        RequestValidationError: if it is not declared as JSON, not JSON, or does not fit the model.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise RequestValidationError.of(["Unsupported Media Type: Only 'application/json' is allowed"])
    try:
        body = from_json(raw)
    except ValueError:
        raise RequestValidationError.of([_json_error(raw)]) from None
    try:
        return model.model_validate(body)
    except ValidationError:
        pass
    try:  # again as FastAPI calls it, whose errors read differently; a third slower, so not for every request
        return model.model_validate(body, from_attributes=True)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        raise RequestValidationError.of([{**item, "loc": ("body", *item["loc"])} for item in errors]) from None


def _json_error(raw: bytes) -> dict[str, Any]:
    """Return the error that FastAPI makes of a body that is not JSON."""
    position, message = 0, "Invalid JSON"
    try:
        json.loads(raw)
    except json.JSONDecodeError as error:
        position, message = error.pos, error.msg
    except (ValueError, RecursionError) as error:
        message = type(error).__name__
    return {
        "type": "json_invalid",
        "loc": ("body", position),
        "msg": "JSON decode error",
        "input": {},
        "ctx": {"error": message},
    }


def _param(errors: Sequence[Any]) -> str | None:
    details = [error for error in errors if isinstance(error, dict)]
    for error in details:
        cause = error.get("ctx", {}).get("error")
        if isinstance(cause, VLLMValidationError) and cause.parameter:
            return cause.parameter
    if not details:
        return None
    return ".".join(str(part) for part in details[0]["loc"] if not _is_internal(str(part)))


def _is_internal(part: str) -> bool:
    """Return whether a part of `loc` names a branch of a union rather than a field."""
    return any(bracket in part for bracket in "[]{}()") or part in ("str", "int", "float", "bool", "list", "dict")
