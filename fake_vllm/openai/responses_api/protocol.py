"""Body of `POST /v1/responses`: vllm/entrypoints/openai/responses/protocol.py."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

from fake_vllm.http.validation import VLLMValidationError
from fake_vllm.openai.protocol import checks
from fake_vllm.openai.protocol.base import (
    CacheSalt,
    ExtraArgs,
    Int64,
    Json,
    MMPayload,
    OpenAIBaseModel,
    Seed,
    StopParam,
)
from fake_vllm.openai.protocol.formats import StructuredOutputsParams
from fake_vllm.openai.protocol.messages import Message
from fake_vllm.openai.releases import api_of
from fake_vllm.openai.responses_api.items import parsed_items
from fake_vllm.openai.responses_api.openai_types import ResponseType

_Include = Literal[
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
]
_Penalty = Annotated[float, Field(ge=-2.0, le=2.0)] | None
_InputItem = Annotated[Any, ResponseType("input_item")]
_NAMED_CHOICES = ("function", "custom")
_UNKNOWN_TOOL = "Tool choice 'function' not found in 'tools' parameter."


class ResponsesRequest(OpenAIBaseModel):
    """Body of `POST /v1/responses`."""

    model_config = ConfigDict(defer_build=True)

    background: bool | None = False
    include: list[_Include] | None = None
    input: str | list[_InputItem]
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    metadata: dict[str, str] | None = None
    model: str | None = None
    logit_bias: dict[str, float] | None = None
    parallel_tool_calls: bool | None = True
    previous_response_id: str | None = None
    prompt: Annotated[Any, ResponseType("prompt")] | None = None
    reasoning: Annotated[Any, ResponseType("reasoning")] | None = None
    include_reasoning: bool = True
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] = "auto"
    store: bool | None = True
    stream: bool | None = False
    temperature: float | None = None
    text: Annotated[Any, ResponseType("text")] | None = None
    tool_choice: Annotated[Any, ResponseType("tool_choice")] = "auto"
    tools: list[Annotated[Any, ResponseType("tool")]] = Field(default_factory=list)
    top_logprobs: Annotated[int, BeforeValidator(lambda value: 0 if value is None else value)] = 0
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    truncation: Literal["auto", "disabled"] | None = "disabled"
    user: str | None = None
    skip_special_tokens: bool = True
    include_stop_str_in_output: bool = False
    presence_penalty: _Penalty = None
    frequency_penalty: _Penalty = None
    prompt_cache_key: str | None = None
    watermarking: bool | None = None
    request_id: str = ""
    session_id: str | None = None
    media_io_kwargs: dict[str, Json] | None = None
    mm_processor_kwargs: Json | None = None
    priority: Int64 = 0
    mm_payload: MMPayload = "tensors"
    return_mm_kwargs: bool | None = None
    cache_salt: CacheSalt = None
    enable_response_messages: bool = False
    previous_input_messages: list[Message | Json] | None = None
    structured_outputs: StructuredOutputsParams | None = None
    repetition_penalty: float | None = None
    seed: Seed = None
    stop: StopParam = []
    stop_token_ids: list[int] | None = []
    ignore_eos: bool = False
    vllm_xargs: ExtraArgs = None
    kv_transfer_params: Json | None = None
    ec_transfer_params: Json | None = None
    chat_template_kwargs: Json | None = None

    @model_validator(mode="before")
    @classmethod
    def check_body(cls, data: Any, info: ValidationInfo) -> Any:
        """Check the raw body in vLLM's order, the reverse of that in which its validators are written."""
        release = api_of(info.context)
        fields = release.raw_fields(data, cls.__name__)
        if fields is None:
            return data
        data = fields
        data = _with_tool_choice(data)
        _check_custom_tools(data.get("tools"))
        if isinstance(data.get("input"), list):
            data = {**data, "input": parsed_items(data["input"], image_detail=release.image_detail)}
        if data.get("prompt") is not None:
            raise VLLMValidationError("prompt template is not supported", parameter="prompt")
        if data.get("background") and not data.get("store", True):
            raise VLLMValidationError("background can only be used when `store` is true", parameter="background")
        checks.check_cache_salt(data.get("cache_salt"), release)
        return data

    @property
    def includes_logprobs(self) -> bool:
        """The response has log-probabilities."""
        return "message.output_text.logprobs" in (self.include or ())


def _with_tool_choice(data: dict[str, Any]) -> dict[str, Any]:
    """Return the body with its tool choice, which is "none" without tools.

    Raises:
        VLLMValidationError: if a tool was chosen that is not there.
    """
    tools, choice = data.get("tools"), data.get("tool_choice", "auto")
    named = isinstance(choice, dict) and choice.get("type") in _NAMED_CHOICES
    if tools is None or len(tools) == 0:  # a TypeError of odd tools is part of the response, as on a real server
        if choice in ("auto", "none"):
            return {**data, "tool_choice": "none"}
        if choice == "required":
            raise VLLMValidationError(
                "Tool choice 'required' must be specified with 'tools' parameter.", parameter="tool_choice"
            )
        if named:
            raise VLLMValidationError(_UNKNOWN_TOOL, parameter="tool_choice")
    elif named:
        return {**data, "tool_choice": {**choice, "name": _resolved_name(choice.get("name"), tools)}}
    return data


def _resolved_name(name: Any, tools: Sequence[Any]) -> str:
    """Return the full name of a tool, which may be in a namespace.

    Raises:
        VLLMValidationError: if there is no such tool, or more than one.
    """
    full: list[str] = []
    for tool in tools:
        space = f"{tool.get('name')}__" if tool.get("type") == "namespace" else ""
        members = tool.get("tools") or () if space else [tool]
        full += [f"{space}{member.get('name')}" for member in members]
    if name in full:
        return str(name)
    candidates = [candidate for candidate in full if candidate.endswith(f"__{name}")] if name else []
    if len(candidates) > 1:
        raise VLLMValidationError(
            f"Tool choice '{name}' is ambiguous: it is defined in more than one namespace ({', '.join(candidates)})."
            " Select it by its full '<namespace>__<name>' name.",
            parameter="tool_choice",
        )
    if not candidates:
        raise VLLMValidationError(_UNKNOWN_TOOL, parameter="tool_choice")
    return candidates[0]


def _check_custom_tools(tools: Any) -> None:
    for tool in tools if isinstance(tools, list) else ():
        form = tool.get("format") if isinstance(tool, dict) and tool.get("type") == "custom" else None
        if isinstance(form, dict) and form.get("type") == "grammar":
            raise VLLMValidationError(
                "Custom tools with a grammar format are not supported; only free-form text custom tools are accepted.",
                parameter="tools",
            )
