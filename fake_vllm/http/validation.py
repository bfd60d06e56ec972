"""JSON bodies, checked as vLLM's pydantic models check them, and refused in the same words.

Pydantic itself would do, but it costs a third of the memory and of the start-up time that a fake may take. Its
lax rules are kept where clients rely on them: `"5"` and `5.0` are whole numbers, `"true"` is a truth value.
"""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

_TRUTH = {"true": True, "1": True, "yes": True, "on": True, "t": True, "y": True}
_TRUTH |= {"false": False, "0": False, "no": False, "off": False, "f": False, "n": False}
_ECHOED = 200  # characters of a wrong value that the answer shows; vLLM, handlers/validation.py
T = TypeVar("T")
_DECODER = msgspec.json.Decoder()


class Invalid(Exception):
    """The body is not what the route takes; `param` is what vLLM names beside the message."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


def invalid(kind: str, field: str, said: str, value: object) -> Invalid:
    """One complaint of pydantic's, as vLLM passes it on."""
    where = f"('body', {field!r})" if field else "('body',)"
    inner = f"{{'type': {kind!r}, 'loc': {where}, 'msg': {said!r}, 'input': {_shown(value)!r}}}"
    return Invalid(f"1 validation error:\n  {inner}", f"body.{field}" if field else "body")


def parameter(message: str, param: str) -> Invalid:
    """A complaint about what a field says rather than about its type."""
    said = f"Value error, {message}"
    inner = f"{{'type': 'value_error', 'loc': ('body',), 'msg': {said!r}}}"
    return Invalid(f"1 validation error:\n  {inner}", param)


def read(content_type: str, raw: bytes) -> dict[str, Any]:
    """The object that a JSON body holds.

    Raises:
        Invalid: if it is none, or not declared as JSON.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise Invalid("1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed")
    try:
        body = _DECODER.decode(raw)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        raise _not_json(raw) from None
    if not isinstance(body, dict):
        said = "Input should be a valid dictionary or object to extract fields from"
        raise invalid("model_attributes_type", "", said, body)
    return body


def string(field: str, value: object) -> str:
    """A string, and nothing that only looks like one."""
    if not isinstance(value, str):
        raise invalid("string_type", field, "Input should be a valid string", value)
    return value


def integer(field: str, value: object) -> int:
    """A whole number."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return int(value)
    if isinstance(value, str) and len(value) < 20 and value.strip().lstrip("+-").isdecimal():
        return int(value)
    if isinstance(value, float):
        said = "Input should be a valid integer, got a number with a fractional part"
        raise invalid("int_from_float", field, said, value)
    if isinstance(value, str):
        said = "Input should be a valid integer, unable to parse string as an integer"
        raise invalid("int_parsing", field, said, value)
    raise invalid("int_type", field, "Input should be a valid integer", value)


def wholes(field: str, values: list[Any]) -> list[int]:
    """Whole numbers; the usual list of nothing else is passed on as it is, since it may have millions."""
    return values if set(map(type, values)) <= {int} else [integer(field, each) for each in values]


def real(field: str, value: object) -> float:
    """A number."""
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            raise invalid("float_type", field, "Input should be a valid number", value) from None
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            said = "Input should be a valid number, unable to parse string as a number"
            raise invalid("float_parsing", field, said, value) from None
    raise invalid("float_type", field, "Input should be a valid number", value)


def boolean(field: str, value: object) -> bool:
    """A truth value."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    if isinstance(value, str):
        if (known := _TRUTH.get(value.lower())) is not None:
            return known
        said = "Input should be a valid boolean, unable to interpret input"
        raise invalid("bool_parsing", field, said, value)
    raise invalid("bool_type", field, "Input should be a valid boolean", value)


def mapping(field: str, value: object) -> dict[str, Any]:
    """An object."""
    if not isinstance(value, dict):
        raise invalid("dict_type", field, "Input should be a valid dictionary", value)
    return value


def listing(field: str, value: object) -> list[Any]:
    """A list."""
    if not isinstance(value, list):
        raise invalid("list_type", field, "Input should be a valid list", value)
    return value


def required(body: dict[str, Any], field: str) -> Any:
    """A field that has to be there."""
    if field not in body:
        raise invalid("missing", field, "Field required", body)
    return body[field]


def optional(body: dict[str, Any], field: str, kind: Callable[[str, object], T], default: T) -> T:
    """A field that need not be there, nor say anything."""
    value = body.get(field)
    return default if value is None else kind(field, value)


def _not_json(raw: bytes) -> Invalid:
    at, said = 0, "Invalid JSON"
    try:
        json.loads(raw)
    except json.JSONDecodeError as error:
        at, said = error.pos, error.msg
    except (ValueError, RecursionError) as error:
        said = type(error).__name__
    where = f"'loc': ('body', {at})"
    inner = f"{{'type': 'json_invalid', {where}, 'msg': 'JSON decode error', 'ctx': {{'error': {said!r}}}}}"
    return Invalid(f"1 validation error:\n  {inner}", f"body.{at}")


def _shown(value: object) -> object:
    if isinstance(value, dict | list):
        return f"<{type(value).__name__} of {len(value)} items>"
    if isinstance(value, str) and len(value) > _ECHOED:
        return value[:_ECHOED] + "...[truncated]"
    return value
