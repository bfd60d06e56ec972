"""Base of the request classes, and the types of fields that completions and chats share.

Each class lists all of its fields, because errors are reported in their order.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetPydanticSchema,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticKnownError, core_schema

from fake_vllm.http.validation import VLLMValidationError
from fake_vllm.openai.releases import api_of

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
MAX_STOP_STRINGS = 4  # vLLM, vllm/envs.py: VLLMMAX_STOP_STRINGS
_MIN_SALT, _MAX_SALT = 1, 1024  # characters; vLLM, the fields' types


def _check_stop_count(stop: list[str], info: ValidationInfo) -> list[str]:
    """Return the stop strings.

    Raises:
        PydanticKnownError: if there are more than the release takes.
    """
    if api_of(info.context).bounded_fields and len(stop) > MAX_STOP_STRINGS:
        lengths = {"field_type": "List", "max_length": MAX_STOP_STRINGS, "actual_length": len(stop)}
        raise PydanticKnownError("too_long", lengths)
    return stop


def _check_salt_length(salt: str, info: ValidationInfo) -> str:
    if not api_of(info.context).bounded_fields or _MIN_SALT <= len(salt) <= _MAX_SALT:
        return salt
    if len(salt) < _MIN_SALT:
        raise PydanticKnownError("string_too_short", {"min_length": _MIN_SALT})
    raise PydanticKnownError("string_too_long", {"max_length": _MAX_SALT})


def _stop_schema(*_: Any) -> core_schema.CoreSchema:
    """Return the schema of stop strings, whose branches have the names that errors give on a real server."""
    strings = core_schema.list_schema(core_schema.str_schema())
    several = core_schema.with_info_after_validator_function(_check_stop_count, strings)
    return core_schema.nullable_schema(core_schema.union_schema([core_schema.str_schema(), (several, "list[str]")]))


StopParam: TypeAlias = Annotated[str | list[str] | None, GetPydanticSchema(_stop_schema)]
StopSequences: TypeAlias = Annotated[list[str], AfterValidator(_check_stop_count)] | None
Json: TypeAlias = dict[str, Any]


class OpenAIBaseModel(BaseModel):
    """Base class: unknown fields are accepted, as OpenAI does.

    The validator changes nothing. Its name is part of the places in error messages, as on a real server.
    """

    model_config = ConfigDict(extra="allow", defer_build=True)

    @model_validator(mode="wrap")
    @classmethod
    def __log_extra_fields__(cls, data: Any, handler: Callable[[Any], Any]) -> Any:
        return handler(data)


class StreamOptions(OpenAIBaseModel):
    """Content of a stream in addition to its choices."""

    include_usage: bool | None = False
    continuous_usage_stats: bool | None = False


def check_thinking_token_budget(value: Any) -> Any:
    """Return the budget, None if it is unlimited.

    Raises:
        VLLMValidationError: if it is neither a whole number nor -1.
    """
    if value is None or value == -1:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise VLLMValidationError(
            "`thinking_token_budget` must be a non-negative integer or -1 for unlimited.",
            parameter="thinking_token_budget",
            value=value,
        )
    return value


Int64: TypeAlias = Annotated[int, Field(ge=INT64_MIN, le=INT64_MAX)]
Seed: TypeAlias = Int64 | None
Truncation: TypeAlias = Annotated[int, Field(ge=-1, le=INT64_MAX)] | None
Side: TypeAlias = Literal["left", "right"] | None
Start: TypeAlias = Annotated[int, Field(ge=0)]
Interval: TypeAlias = Annotated[int, Field(ge=1)] | None
MMPayload: TypeAlias = Literal["tensors", "none"]
CacheSalt: TypeAlias = Annotated[str, AfterValidator(_check_salt_length)] | None
ExtraArgs: TypeAlias = dict[str, str | int | float | list[str | int | float]] | None
ThinkingTokenBudget: TypeAlias = Annotated[int | None, BeforeValidator(check_thinking_token_budget)]


def stop_strings(stop: StopParam) -> tuple[str, ...]:
    """Return the stop strings, however they were written."""
    return (stop,) if isinstance(stop, str) else tuple(stop or ())
