"""Base of the request classes, and the types of fields that completions and chats share.

Each class lists all of its fields, because errors are reported in their order.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from fake_vllm.http.validation import VLLMValidationError

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
MAX_STOP_STRINGS = 4  # vLLM, vllm/envs.py: VLLMMAX_STOP_STRINGS

StopParam: TypeAlias = str | Annotated[list[str], Field(max_length=MAX_STOP_STRINGS)] | None
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
CacheSalt: TypeAlias = Annotated[str, Field(min_length=1, max_length=1024)] | None
ExtraArgs: TypeAlias = dict[str, str | int | float | list[str | int | float]] | None
ThinkingTokenBudget: TypeAlias = Annotated[int | None, BeforeValidator(check_thinking_token_budget)]


def stop_strings(stop: StopParam) -> tuple[str, ...]:
    """Return the stop strings, however they were written."""
    return (stop,) if isinstance(stop, str) else tuple(stop or ())
