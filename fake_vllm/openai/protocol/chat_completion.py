"""Body of `POST /v1/chat/completions`: vllm/entrypoints/openai/chat_completion/protocol.py."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, ValidationInfo, model_validator

from fake_vllm.http.validation import VLLMValidationError
from fake_vllm.openai.protocol import checks
from fake_vllm.openai.protocol.base import GenerationRequest, Json
from fake_vllm.openai.protocol.formats import check_response_format
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


class ChatCompletionRequest(GenerationRequest):
    """Body of `POST /v1/chat/completions`."""

    messages: list[ChatCompletionMessageParam]
    logprobs: bool | None = False
    top_logprobs: Annotated[int, BeforeValidator(lambda value: 0 if value is None else value)] = 0
    max_completion_tokens: int | None = None
    n: int | None = 1
    tools: list[ChatCompletionToolsParam] | None = None
    tool_choice: ToolChoice = "none"
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    include_reasoning: bool = True
    parallel_tool_calls: bool | None = True
    echo: bool = False
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    add_special_tokens: bool = False
    documents: list[dict[str, str]] | None = None
    chat_template: str | None = None
    chat_template_kwargs: Json | None = None
    media_io_kwargs: dict[str, Json] | None = None
    mm_processor_kwargs: Json | None = None
    return_prompt_text: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def check_body(cls, data: Any, info: ValidationInfo) -> Any:
        """Check the raw body in vLLM's order, the reverse of that in which its validators are written."""
        if not isinstance(data, dict):
            return data
        data = api_of(info.context).known_fields(data)
        iter(data.get("messages", ()))  # vLLM looks at system messages first: a TypeError is part of its response
        check_generation_prompt(data)
        data = check_tool_usage(data)
        _check_structured_outputs(data)
        _check_logprobs(data)
        checks.check_stream_options(data)
        check_response_format(data.get("response_format"))
        normalize_messages(data.get("messages"))
        checks.check_cache_salt(data.get("cache_salt"))
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
