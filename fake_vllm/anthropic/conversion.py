"""A Messages request as a chat: vllm/entrypoints/anthropic/serving.py, `to_chat_completion_request`."""

import json
from collections.abc import Iterable
from typing import Any

from fake_vllm.anthropic.protocol import (
    AnthropicContentBlock,
    AnthropicMessage,
    AnthropicMessagesRequest,
    AnthropicRequest,
    AnthropicThinkingConfigDisabled,
    AnthropicThinkingConfigEnabled,
    AnthropicTool,
    AnthropicToolChangeDefinition,
    Content,
)
from fake_vllm.openai.protocol.base import StreamOptions
from fake_vllm.openai.protocol.chat_completion import ChatCompletionRequest, ToolChoice
from fake_vllm.openai.protocol.formats import JsonSchemaResponseFormat, ResponseFormat
from fake_vllm.openai.protocol.tools import ChatCompletionNamedToolChoiceParam, ChatCompletionToolsParam

Json = dict[str, Any]
_HEADER = "x-anthropic-billing-header"  # a client's own line, which would make every prompt another one
_SAME = (
    *("temperature", "top_p", "top_k", "watermarking", "cache_salt", "kv_transfer_params", "ec_transfer_params"),
    *("vllm_xargs", "max_tokens"),
)
"""Fields that mean the same in a chat."""


def chat_of(body: AnthropicRequest) -> ChatCompletionRequest:
    """Return the chat that a request stands for.

    Raises:
        ValueError: if a tool is changed that is not there.
    """
    tools = _tools(body)
    choice = _tool_choice(body)
    fields: Json = {
        "model": body.model,
        "messages": [*_system_messages(body), *(message for one in body.messages for message in _messages(one))],
        "chat_template_kwargs": body.chat_template_kwargs,
        "tools": tools,
        "tool_choice": "auto" if choice is None and tools is not None else choice,
        **_output_fields(body),
        **_thinking_fields(body),
    }
    if isinstance(body, AnthropicMessagesRequest):
        fields |= {name: getattr(body, name) for name in _SAME}
        fields |= {"max_completion_tokens": body.max_tokens, "stop": body.stop_sequences, "stream": body.stream}
        if body.stream:
            fields["stream_options"] = StreamOptions(include_usage=True, continuous_usage_stats=True)
    return ChatCompletionRequest.model_construct(**fields)


def _system_messages(body: AnthropicRequest) -> list[Json]:
    text = body.system if isinstance(body.system, str) else "".join(_texts(body.system or ()))
    return [{"role": "system", "content": text}] if text else []


def _texts(blocks: Iterable[AnthropicContentBlock]) -> list[str]:
    return [
        block.text for block in blocks if block.type == "text" and block.text and not block.text.startswith(_HEADER)
    ]


def _messages(message: AnthropicMessage) -> list[Json]:
    """Return the messages of a chat that stand for one message; results of tools are messages of their own."""
    if message.role == "system":
        text = _system_text(message.content)
        return [{"role": "system", "content": text}] if text else []
    if isinstance(message.content, str):
        return [{"role": message.role, "content": message.content}]
    results: list[Json] = []
    if message.role == "user":
        results = [one for block in message.content if block.type == "tool_result" for one in _tool_results(block)]
    own: Json = {"role": message.role, **_content_fields(message.content, message.role)}
    return results if message.role == "user" and "content" not in own else [*results, own]


def _system_text(content: Content) -> str:
    if isinstance(content, str):
        return "" if content.startswith(_HEADER) else content
    return "".join(_texts(content))


def _content_fields(blocks: list[AnthropicContentBlock], role: str) -> Json:
    """Return the fields of a message with the content of `blocks`."""
    fields: Json = {}
    thoughts = [block.thinking for block in blocks if block.type == "thinking" and block.thinking is not None]
    calls = [_tool_call(block) for block in blocks if block.type == "tool_use"]
    parts = [part for part in (_part(block, role) for block in blocks) if part is not None]
    if thoughts:
        fields["reasoning"] = "".join(thoughts)
    if calls:
        fields["tool_calls"] = calls
    if parts:
        alone = len(parts) == 1 and parts[0]["type"] == "text"
        fields["content"] = parts[0]["text"] if alone else parts
    return fields


def _part(block: AnthropicContentBlock, role: str) -> Json | None:
    if block.type == "text" and block.text:
        return {"type": "text", "text": block.text}
    if block.type == "image" and block.source:
        return _image(block.source)
    if block.type == "tool_result" and role != "user":
        return {"type": "text", "text": f"Tool result: {block.content or ''}"}
    return None


def _image(source: Json) -> Json:
    url = source.get("url", "")
    if source.get("type") != "url":
        url = f"data:{source.get('media_type', 'image/jpeg')};base64,{source.get('data', '')}"
    return {"type": "image_url", "image_url": {"url": url}}


def _tool_call(block: AnthropicContentBlock) -> Json:
    function = {"name": block.name or "", "arguments": json.dumps(block.input or {})}
    return {"id": block.id or "", "type": "function", "function": function}


def _tool_results(block: AnthropicContentBlock) -> list[Json]:
    """Return the messages for a tool's result: its text, its images, and tools that it names."""
    items = [] if isinstance(block.content, str) else [item for item in block.content or () if isinstance(item, dict)]
    text = (
        block.content
        if isinstance(block.content, str)
        else "\n".join(item.get("text", "") for item in items if item.get("type") == "text")
    )
    head = {"role": "tool", "tool_call_id": block.tool_use_id or ""}
    images = [_image(item.get("source", {})) for item in items if item.get("type") == "image"]
    names = [item.get("tool_name") or item.get("name") for item in items if item.get("type") == "tool_reference"]
    references = [{"type": "tool_reference", "name": name} for name in names if name]
    return [
        {**head, "content": text},
        *([{"role": "user", "content": images}] if images else []),
        *([{**head, "content": references}] if references else []),
    ]


def _output_fields(body: AnthropicRequest) -> Json:
    config = body.output_config
    fields: Json = {}
    if config and config.format and config.format.json_schema:
        schema = JsonSchemaResponseFormat(name=config.format.type, schema=config.format.json_schema)
        fields["response_format"] = ResponseFormat(type=config.format.type, json_schema=schema)
    if config and config.effort is not None:
        fields["reasoning_effort"] = config.effort
    return fields


def _thinking_fields(body: AnthropicRequest) -> Json:
    if isinstance(body.thinking, AnthropicThinkingConfigDisabled):
        return {"reasoning_effort": "none"}
    if isinstance(body.thinking, AnthropicThinkingConfigEnabled):
        return {"thinking_token_budget": body.thinking.budget_tokens}
    return {}


def _tool_choice(body: AnthropicRequest) -> ToolChoice:
    choice = body.tool_choice
    if choice is None:
        return None
    if choice.type == "tool":
        named = {"type": "function", "function": {"name": choice.name}}
        return ChatCompletionNamedToolChoiceParam.model_validate(named)
    return "required" if choice.type == "any" else choice.type


def _tools(body: AnthropicRequest) -> list[ChatCompletionToolsParam] | None:
    tools = _current_tools(body)
    if tools is None:
        return None
    return [
        ChatCompletionToolsParam.model_validate(
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.input_schema,
                    "strict": tool.strict,
                    "defer_loading": tool.defer_loading,
                },
            }
        )
        for tool in tools
    ]


def _current_tools(body: AnthropicRequest) -> list[AnthropicTool] | None:
    """Return the tools at the end of the conversation, whose messages may add and remove some."""
    blocks = [block for message in body.messages if isinstance(message.content, list) for block in message.content]
    changes = [(block.type, block.tool) for block in blocks if block.tool and block.type.startswith("tool_")]
    if not changes:
        return body.tools
    tools = {tool.name: tool for tool in body.tools or ()}
    removed: dict[str, None] = {}
    for kind, change in changes:
        if isinstance(change, AnthropicToolChangeDefinition):
            name = change.definition.name
            tools[name] = change.definition
        else:
            name = change.name
            if name not in tools:
                raise ValueError(f"{kind} references tool {name!r}, which is not declared in tools")
        if kind == "tool_removal":
            removed[name] = None
        else:
            removed.pop(name, None)
    return [tool for name, tool in tools.items() if name not in removed]
