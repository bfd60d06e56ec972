"""A response request as a request for generated text: the conversation it continues, and its parameters."""

from collections.abc import Mapping
from typing import Any

from fake_vllm.engine.lora import EngineError
from fake_vllm.http.validation import VLLMValidationError
from fake_vllm.openai.protocol.chat_completion import ChatCompletionRequest
from fake_vllm.openai.protocol.formats import StructuredOutputsParams
from fake_vllm.openai.protocol.tools import ChatCompletionNamedToolChoiceParam, ChatCompletionToolsParam
from fake_vllm.openai.requests import ChatOptions, GenerateRequest, Server, answer_request
from fake_vllm.openai.responses_api.items import is_continued, messages_of
from fake_vllm.openai.responses_api.openai_types import written
from fake_vllm.openai.responses_api.protocol import ResponsesRequest
from fake_vllm.openai.responses_api.store import StoredResponse

Json = dict[str, Any]
_SAME = (
    *("model", "logit_bias", "stream", "temperature", "top_p", "top_k", "min_p", "presence_penalty"),
    *("frequency_penalty", "repetition_penalty", "seed", "stop", "stop_token_ids", "ignore_eos", "vllm_xargs"),
    *("include_stop_str_in_output", "skip_special_tokens", "chat_template_kwargs", "media_io_kwargs"),
    *("mm_processor_kwargs", "kv_transfer_params", "ec_transfer_params", "parallel_tool_calls"),
)
"""Fields that mean the same in a chat."""


def conversation(body: ResponsesRequest, previous: StoredResponse | None) -> list[Json]:
    """Return the messages of the chat that a request stands for.

    Raises:
        EngineError: if one of its items has no message.
    """
    try:
        before = [] if previous is None else previous.answered_messages()
        head = [{"role": "system", "content": body.instructions}] if body.instructions else []
        return [*head, *before, *messages_of(body.input)]
    except VLLMValidationError as error:
        raise EngineError(400, "BadRequestError", str(error), error.parameter) from None
    except ValueError as error:  # pydantic's, of a part that is read only now
        raise EngineError(400, "BadRequestError", str(error)) from None


def response_request(body: ResponsesRequest, messages: list[Json], server: Server) -> GenerateRequest:
    """Return the request for text.

    Raises:
        EngineError: if it cannot be served.
    """
    continued = is_continued(body.input)
    fields = {name: getattr(body, name) for name in _SAME}
    fields["stop"] = body.stop or []  # an empty stop string counts as none here
    chat = ChatCompletionRequest.model_construct(
        **fields,
        messages=messages,
        add_generation_prompt=not continued,
        continue_final_message=continued,
        logprobs=body.includes_logprobs,
        top_logprobs=body.top_logprobs,
        truncate_prompt_tokens=-1 if body.truncation != "disabled" else None,
        structured_outputs=_constraint(body),
        **(_tools(body) if server.config.frontend.tool_call_parser else {}),
    )
    return answer_request(chat, server, ChatOptions("max_output_tokens", body.max_output_tokens))


def _constraint(body: ResponsesRequest) -> StructuredOutputsParams | None:
    """Return the constraint of the text.

    Raises:
        EngineError: if there is more than one.
    """
    form: Mapping[str, Any] | None = (written("text", body.text) or {}).get("format")
    if form is None:
        return body.structured_outputs
    if body.structured_outputs is not None:
        error = VLLMValidationError(
            "Cannot specify both structured_outputs and text.format", parameter="structured_outputs"
        )
        raise EngineError(400, "BadRequestError", str(error), error.parameter)
    if form["type"] == "json_object":
        return StructuredOutputsParams(json_object=True)
    return StructuredOutputsParams(json=form["schema"]) if form["type"] == "json_schema" else None


def _tools(body: ResponsesRequest) -> Json:
    """Return the fields of a chat about its tools."""
    functions = [tool for tool in (written("tool", tool) for tool in body.tools) if tool["type"] == "function"]
    if not functions:
        return {}
    choice = written("tool_choice", body.tool_choice)
    if isinstance(choice, dict):
        named = {"type": "function", "function": {"name": choice.get("name")}}
        choice = ChatCompletionNamedToolChoiceParam.model_validate(named)
    tools = [ChatCompletionToolsParam.model_validate({"type": "function", "function": tool}) for tool in functions]
    return {"tools": tools, "tool_choice": choice}
