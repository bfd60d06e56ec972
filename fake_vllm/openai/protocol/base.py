"""Base of the request classes, and the fields that completions and chats share."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from fake_vllm.http.validation import VLLMValidationError
from fake_vllm.openai.protocol.formats import AnyResponseFormat, RepetitionDetectionParams, StructuredOutputsParams

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
_MAX_STOP_STRINGS = 4  # vLLM, vllm/envs.py: VLLM_MAX_STOP_STRINGS

StopParam: TypeAlias = str | Annotated[list[str], Field(max_length=_MAX_STOP_STRINGS)] | None
Json: TypeAlias = dict[str, Any]


class OpenAIBaseModel(BaseModel):
    """Base class: unknown fields are accepted, as OpenAI does.

    The validator changes nothing. Its name is part of the places in error messages, as on a real server.
    """

    model_config = ConfigDict(extra="allow")

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


class GenerationRequest(OpenAIBaseModel):
    """Fields that completions and chats share, in the order of vLLM's classes."""

    model: str | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    max_tokens: int | None = None
    presence_penalty: float | None = None
    seed: int | None = Field(default=None, ge=INT64_MIN, le=INT64_MAX)
    stop: StopParam = []
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    user: str | None = None
    use_beam_search: bool = False
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    watermarking: bool | None = None
    length_penalty: float = 1.0
    stop_token_ids: list[int] | None = []
    include_stop_str_in_output: bool = False
    ignore_eos: bool = False
    min_tokens: int = 0
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    truncate_prompt_tokens: Annotated[int, Field(ge=-1, le=INT64_MAX)] | None = None
    truncation_side: Literal["left", "right"] | None = None
    allowed_token_ids: list[int] | None = None
    prompt_logprobs: int | None = None
    logprob_token_ids: list[int] | None = None
    bad_words: list[str] = Field(default_factory=list)
    response_format: AnyResponseFormat | None = None
    structured_outputs: StructuredOutputsParams | None = None
    priority: int = Field(default=0, ge=INT64_MIN, le=INT64_MAX)
    request_id: str = ""
    session_id: str | None = None
    return_tokens_as_token_ids: bool | None = None
    return_token_ids: bool | None = None
    routed_experts_prompt_start: int = Field(default=0, ge=0)
    return_token_offsets: bool | None = False
    mm_payload: Literal["tensors", "none"] = "tensors"
    return_mm_kwargs: bool | None = None
    cache_salt: str | None = Field(default=None, min_length=1, max_length=1024)
    kv_transfer_params: Json | None = None
    ec_transfer_params: Json | None = None
    vllm_xargs: dict[str, str | int | float | list[str | int | float]] | None = None
    repetition_detection: RepetitionDetectionParams | None = None
    thinking_token_budget: Annotated[int | None, BeforeValidator(check_thinking_token_budget)] = None
    stream_interval: Annotated[int, Field(ge=1)] | None = None

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """Stop strings, however they were written."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
