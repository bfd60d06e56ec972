"""Request bodies of SGLang's OpenAI routes (entrypoints/openai/protocol.py); unknown fields are accepted, as there."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, model_validator

from fake_vllm.http.validation import VLLMValidationError

_MAX_PROMPTS = 1024  # a limit of the fake, as VLLM_MAX_COMPLETION_PROMPTS is vLLM's
_TEXT_PARTS = ("text", "input_text", "output_text", "refusal", "thinking")
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1

TokenIds = list[Annotated[int, Field(ge=0)]]


class StreamOptions(BaseModel):
    """Content of a stream in addition to its choices."""

    include_usage: bool | None = True
    continuous_usage_stats: bool | None = False


class SamplingFields(BaseModel):
    """Fields that completions and chats share."""

    model: str | None = None
    n: int = 1
    stop: str | list[str] | None = None
    include_stop_str_in_output: bool = False
    ignore_eos: bool = False
    min_tokens: int = 0
    seed: int | None = Field(default=None, ge=_INT64_MIN, le=_INT64_MAX)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    return_token_ids: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = 0.0
    frequency_penalty: float | None = 0.0
    user: str | None = None
    request_id: str = ""

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """Stop strings, however they were written."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @model_validator(mode="before")
    @classmethod
    def validate_stream_options(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("stream_options") and not data.get("stream"):
            raise VLLMValidationError(
                "Stream options can only be defined when `stream=True`.", parameter="stream_options"
            )
        return data


class CompletionRequest(SamplingFields):
    """Body of `POST /v1/completions`."""

    prompt: TokenIds | list[TokenIds] | str | list[str] | None = None
    echo: bool | None = False
    logprobs: int | None = None
    max_tokens: int | None = 16
    suffix: str | None = None

    @model_validator(mode="before")
    @classmethod
    def validate_prompt(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        prompt = data.get("prompt")
        if prompt is None or prompt == "" or prompt == [[]]:
            raise VLLMValidationError(
                "Either prompt or prompt_embeds must be provided and non-empty.", parameter="prompt"
            )
        if isinstance(prompt, list) and len(prompt) > _MAX_PROMPTS and not isinstance(prompt[0], int):
            raise VLLMValidationError(
                f"prompt list length {len(prompt)} exceeds the maximum allowed count of {_MAX_PROMPTS}.",
                parameter="prompt",
            )
        return data

    @model_validator(mode="before")
    @classmethod
    def check_logprobs(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("logprobs") is not None:
            _check_logprobs("logprobs", data["logprobs"])
        return data


class ContentPart(BaseModel):
    """One part of a message's content."""

    type: str = "text"
    text: str | None = None
    input_text: str | None = None
    output_text: str | None = None
    refusal: str | None = None
    thinking: str | None = None

    @property
    def content(self) -> str:
        """The part's text, in whichever field it is."""
        return self.text or getattr(self, self.type) or ""


class ChatMessage(BaseModel):
    """One message of a conversation."""

    role: str
    content: str | list[str | ContentPart] | None = None

    @property
    def text(self) -> str:
        """All text of the message."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "\n".join(part if isinstance(part, str) else part.content for part in self.content)


def check_text_only(messages: list[ChatMessage]) -> None:
    """Check that a conversation has no images, audio or video.

    Raises:
        VLLMValidationError: if it has.
    """
    for message in messages:
        for part in message.content if isinstance(message.content, list) else ():
            if not isinstance(part, str) and part.type not in _TEXT_PARTS:
                raise VLLMValidationError("the model is not a multimodal model", parameter="messages")


class ChatCompletionRequest(SamplingFields):
    """Body of `POST /v1/chat/completions`."""

    messages: list[ChatMessage] = Field(min_length=1)
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    logprobs: bool | None = False
    top_logprobs: int | None = 0
    tools: list[Any] | None = None
    tool_choice: str | dict[str, Any] | None = "none"

    @model_validator(mode="before")
    @classmethod
    def check_logprobs(cls, data: Any) -> Any:
        top = data.get("top_logprobs") if isinstance(data, dict) else None
        if top is not None:
            _check_logprobs("top_logprobs", top)
            if top != 0 and not data.get("logprobs"):
                raise VLLMValidationError(
                    "when using `top_logprobs`, `logprobs` must be set to true.", parameter="top_logprobs"
                )
        return data

    @model_validator(mode="before")
    @classmethod
    def check_tool_usage(cls, data: Any) -> Any:
        if isinstance(data, dict):
            _check_tools(data.get("tools"), data.get("tool_choice"))
        return data

    @model_validator(mode="after")
    def check_content(self) -> "ChatCompletionRequest":
        check_text_only(self.messages)
        return self


def _check_logprobs(field: str, value: Any) -> None:
    if not isinstance(value, int | float):
        raise VLLMValidationError(f"`{field}` must be an integer.", parameter=field)
    if value < 0 and value != -1:
        raise VLLMValidationError(f"`{field}` must be a positive value or -1.", parameter=field)


def _check_tools(tools: Any, choice: Any) -> None:
    if tools == []:
        raise VLLMValidationError(
            "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely.",
            parameter="tools",
        )
    if choice in (None, "none"):
        return
    if tools is None:
        raise VLLMValidationError("When using `tool_choice`, `tools` must be set.", parameter="tool_choice")
    if choice not in ("auto", "required") and not isinstance(choice, dict):
        raise VLLMValidationError(
            f'Invalid value for `tool_choice`: {choice}! Only named tools, "none", "auto" or "required" are supported.',
            parameter="tool_choice",
        )
