"""Body of `POST /v1/chat/completions`: vllm/entrypoints/openai/chat_completion/protocol.py."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from fake_vllm.http.validation import VLLMValidationError
from fake_vllm.openai.protocol import checks
from fake_vllm.openai.protocol.base import (
    CacheSalt,
    ExtraArgs,
    Int64,
    Interval,
    Json,
    MMPayload,
    OpenAIBaseModel,
    Seed,
    Side,
    Start,
    StopParam,
    StreamOptions,
    ThinkingTokenBudget,
    Truncation,
)
from fake_vllm.openai.protocol.formats import (
    AnyResponseFormat,
    RepetitionDetectionParams,
    StructuredOutputsParams,
    check_response_format,
)
from fake_vllm.openai.protocol.messages import ChatCompletionMessageParam, normalize_messages
from fake_vllm.openai.protocol.tools import (
    ChatCompletionNamedToolChoiceParam,
    ChatCompletionToolsParam,
    check_tool_usage,
)
from fake_vllm.openai.releases import api_of

ToolChoice: TypeAlias = (
    Literal["none"] | Literal["auto"] | Literal["required"] | ChatCompletionNamedToolChoiceParam | None
)


class ChatCompletionRequest(OpenAIBaseModel):
    """Body of `POST /v1/chat/completions`."""

    messages: list[ChatCompletionMessageParam]
    model: str | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = False
    top_logprobs: Annotated[int, BeforeValidator(lambda value: 0 if value is None else value)] = 0
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = 1
    presence_penalty: float | None = None
    response_format: AnyResponseFormat | None = None
    seed: Seed = None
    stop: StopParam = []
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: list[ChatCompletionToolsParam] | None = None
    tool_choice: ToolChoice = "none"
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    thinking_token_budget: ThinkingTokenBudget = None
    include_reasoning: bool = True
    parallel_tool_calls: bool | None = True
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
    truncate_prompt_tokens: Truncation = None
    truncation_side: Side = None
    prompt_logprobs: int | None = None
    logprob_token_ids: list[int] | None = None
    allowed_token_ids: list[int] | None = None
    bad_words: list[str] = Field(default_factory=list)
    echo: bool = False
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    add_special_tokens: bool = False
    documents: list[dict[str, str]] | None = None
    chat_template: str | None = None
    chat_template_kwargs: Json | None = None
    media_io_kwargs: dict[str, Json] | None = None
    mm_processor_kwargs: Json | None = None
    structured_outputs: StructuredOutputsParams | None = None
    priority: Int64 = 0
    request_id: str = ""
    session_id: str | None = None
    return_tokens_as_token_ids: bool | None = None
    return_token_ids: bool | None = None
    routed_experts_prompt_start: Start = 0
    return_token_offsets: bool | None = False
    return_prompt_text: bool | None = None
    mm_payload: MMPayload = "tensors"
    return_mm_kwargs: bool | None = None
    cache_salt: CacheSalt = None
    kv_transfer_params: Json | None = None
    ec_transfer_params: Json | None = None
    vllm_xargs: ExtraArgs = None
    repetition_detection: RepetitionDetectionParams | None = None
    stream_interval: Interval = None

    @model_validator(mode="before")
    @classmethod
    def check_body(cls, data: Any, info: ValidationInfo) -> Any:
        """Check the raw body in vLLM's order, the reverse of that in which its validators are written."""
        release = api_of(info.context)
        fields = release.raw_fields(data, cls.__name__)
        if fields is None:
            return data
        data = fields
        iter(data.get("messages", ()))  # vLLM looks at system messages first: a TypeError is part of its response
        check_generation_prompt(data)
        data = check_tool_usage(data)
        _check_structured_outputs(data)
        _check_logprobs(data)
        if not release.null_top_logprobs and data.get("top_logprobs", 0) is None:
            data = {**data, "logprobs": False}
        checks.check_stream_options(data)
        check_response_format(data.get("response_format"))
        normalize_messages(data.get("messages"))
        checks.check_cache_salt(data.get("cache_salt"), release)
        return data


def check_generation_prompt(data: dict[str, Any]) -> None:
    """Check that a conversation is not both continued and answered.

    Raises:
        VLLMValidationError: if both are set explicitly.
    """
    if data.get("continue_final_message") and data.get("add_generation_prompt"):
        raise VLLMValidationError("Cannot set both `continue_final_message` and `add_generation_prompt` to True.")


def _check_structured_outputs(data: dict[str, Any]) -> None:
    count = checks.check_structured_outputs(data, parameter=None)
    if count and data.get("tool_choice", "none") not in ("none", "auto", "required"):
        raise VLLMValidationError("You can only either use constraints for structured outputs or tools, not both.")


def _check_logprobs(data: dict[str, Any]) -> None:
    missing = not data.get("logprobs")
    checks.check_logprob_token_ids(data, needs="`logprobs` must be set to true", missing=missing)
    checks.check_logprob_fields(data, "top_logprobs")
    top = data.get("top_logprobs")
    if top is not None and (top == -1 or top > 0) and missing:
        raise VLLMValidationError(
            "when using `top_logprobs`, `logprobs` must be set to true.", parameter="top_logprobs"
        )
