"""Bodies of Messages requests: vllm/entrypoints/anthropic/protocol.py.

Names of the classes are part of the places in error messages.
"""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationInfo, model_validator
from pydantic_core import PydanticKnownError

from fake_vllm.openai.protocol.base import CacheSalt, ExtraArgs, Json, MMPayload, StopSequences
from fake_vllm.openai.releases import api_of

_BLOCKS = ("text", "image", "tool_use", "tool_result", "tool_reference", "thinking", "redacted_thinking")
_TOOL_CHANGES = ("tool_addition", "tool_removal")
_Effort: TypeAlias = Literal["low", "medium", "high", "xhigh", "max"]
_Display: TypeAlias = Literal["summarized", "omitted", "updates"] | None


def _check_block_type(value: Any, info: ValidationInfo) -> Any:
    """Check the type of a block as a `Literal` does; older releases have fewer."""
    kinds = (*_BLOCKS, *(_TOOL_CHANGES if api_of(info.context).tool_changes else ()))
    if value not in kinds:
        quoted = [repr(kind) for kind in kinds]
        expected = f"{', '.join(quoted[:-1])} or {quoted[-1]}"
        raise PydanticKnownError("literal_error", {"expected": expected})
    return value


class AnthropicTool(BaseModel):
    """A tool that the model may call."""

    name: str
    description: str | None = None
    input_schema: Annotated[Json, AfterValidator(lambda schema: {"type": "object", **schema})]
    strict: bool | None = None
    defer_loading: bool | None = None


class AnthropicToolChangeReference(BaseModel):
    """A tool by its name."""

    type: Literal["tool_reference"]
    name: str


class AnthropicToolChangeDefinition(BaseModel):
    """A tool by its definition."""

    type: Literal["tool_definition"]
    definition: AnthropicTool


AnthropicToolChange: TypeAlias = Annotated[
    AnthropicToolChangeReference | AnthropicToolChangeDefinition, Field(discriminator="type")
]


class AnthropicContentBlock(BaseModel):
    """One part of a message's content."""

    type: Annotated[str, BeforeValidator(_check_block_type)]
    text: str | None = None
    source: Json | None = None
    id: str | None = None
    tool_use_id: str | None = None
    name: str | None = None
    input: Json | None = None
    content: str | list[Json] | None = None
    is_error: bool | None = None
    tool_name: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    tool: AnthropicToolChange | None = None

    def model_post_init(self, _: Any, /) -> None:
        """Check a change of tools; a validator would have a name in the places of older releases' errors."""
        if self.type in _TOOL_CHANGES and self.tool is None:
            raise ValueError(f"tool is required for {self.type} blocks")
        if self.type == "tool_removal" and isinstance(self.tool, AnthropicToolChangeDefinition):
            raise ValueError("tool_removal only accepts a tool_reference")


Content: TypeAlias = str | list[AnthropicContentBlock]


def _check_no_tool_changes(content: Content | None) -> Content | None:
    for block in content if isinstance(content, list) else ():
        if block.type in _TOOL_CHANGES:
            raise ValueError(f'{block.type} blocks are only allowed in messages with role "system"')
    return content


class AnthropicMessage(BaseModel):
    """One message of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: Content

    def model_post_init(self, _: Any, /) -> None:
        """Check that only system messages change tools."""
        if self.role != "system":
            _check_no_tool_changes(self.content)


class AnthropicToolChoice(BaseModel):
    """The tool that the model has to call."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None

    @model_validator(mode="after")
    def check_name(self) -> "AnthropicToolChoice":
        if self.type == "tool" and not self.name:
            raise ValueError("tool_choice.name is required when type is 'tool'")
        return self


class AnthropicJsonOutputFormat(BaseModel):
    """JSON that fits a schema."""

    json_schema: Json | None = Field(default=None, alias="schema")
    type: Literal["json_schema"] = "json_schema"


class AnthropicOutputConfig(BaseModel):
    """Effort and format of the answer."""

    effort: _Effort | None = None
    format: AnthropicJsonOutputFormat | None = None


class AnthropicThinkingConfigEnabled(BaseModel):
    """Thinking with a limit, in tokens."""

    type: Literal["enabled"]
    budget_tokens: int = Field(ge=1024)
    display: _Display = None


class AnthropicThinkingConfigDisabled(BaseModel):
    """No thinking."""

    type: Literal["disabled"]


class AnthropicThinkingConfigAdaptive(BaseModel):
    """Thinking as long as the model finds it useful."""

    type: Literal["adaptive"]
    display: _Display = None


AnthropicThinkingConfig: TypeAlias = Annotated[
    AnthropicThinkingConfigEnabled | AnthropicThinkingConfigDisabled | AnthropicThinkingConfigAdaptive,
    Field(discriminator="type"),
]


def _check_model(name: str) -> str:
    if not name:
        raise ValueError("Model is required")
    return name


def _check_max_tokens(count: int) -> int:
    if count <= 0:
        raise ValueError("max_tokens must be positive")
    return count


_Model: TypeAlias = Annotated[str, AfterValidator(_check_model)]
_System: TypeAlias = Annotated[Content | None, AfterValidator(_check_no_tool_changes)]


class AnthropicMessagesRequest(BaseModel):
    """Body of `POST /v1/messages`."""

    model: _Model
    messages: list[AnthropicMessage]
    max_tokens: Annotated[int, AfterValidator(_check_max_tokens)]
    metadata: Json | None = None
    output_config: AnthropicOutputConfig | None = None
    thinking: AnthropicThinkingConfig | None = None
    stop_sequences: StopSequences = None
    stream: bool | None = False
    system: _System = None
    temperature: float | None = None
    tool_choice: AnthropicToolChoice | None = None
    tools: list[AnthropicTool] | None = None
    top_k: int | None = None
    top_p: float | None = None
    mm_payload: MMPayload = "tensors"
    return_mm_kwargs: bool | None = None
    cache_salt: CacheSalt = None
    watermarking: bool | None = None
    kv_transfer_params: Json | None = None
    ec_transfer_params: Json | None = None
    vllm_xargs: ExtraArgs = None
    chat_template_kwargs: Json | None = None

    @model_validator(mode="before")
    @classmethod
    def drop_unknown_fields(cls, data: Any, info: ValidationInfo) -> Any:
        return _known(data, info, cls.__name__)

    @model_validator(mode="after")
    def check_thinking(self) -> "AnthropicMessagesRequest":
        remote = self.kv_transfer_params and self.kv_transfer_params.get("do_remote_decode")
        enabled = isinstance(self.thinking, AnthropicThinkingConfigEnabled)
        if enabled and not remote and self.thinking.budget_tokens >= self.max_tokens:  # type: ignore[union-attr]
            raise ValueError("thinking.budget_tokens must be less than max_tokens")
        return self


class AnthropicCountTokensRequest(BaseModel):
    """Body of `POST /v1/messages/count_tokens`."""

    model: _Model
    messages: list[AnthropicMessage]
    output_config: AnthropicOutputConfig | None = None
    system: _System = None
    thinking: AnthropicThinkingConfig | None = None
    tool_choice: AnthropicToolChoice | None = None
    tools: list[AnthropicTool] | None = None
    chat_template_kwargs: Json | None = None

    @model_validator(mode="before")
    @classmethod
    def drop_unknown_fields(cls, data: Any, info: ValidationInfo) -> Any:
        return _known(data, info, cls.__name__)


AnthropicRequest: TypeAlias = AnthropicMessagesRequest | AnthropicCountTokensRequest


def _known(data: Any, info: ValidationInfo, class_name: str) -> Any:
    """Return a raw body without the fields that a release does not know."""
    return api_of(info.context).known_fields(data, class_name) if isinstance(data, dict) else data
