"""Input items of a response request: completed before they are validated, and as messages of a chat.

See vllm/entrypoints/openai/responses/utils.py and protocol.py.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from fake_vllm.http.validation import VLLMValidationError
from fake_vllm.openai.responses_api.openai_types import Item, validator

Json = dict[str, Any]
_PARTIAL = ("in_progress", "incomplete")
_PARSED = {
    "function_call": "response_function_tool_call.ResponseFunctionToolCall",
    "reasoning": "response_reasoning_item.ResponseReasoningItem",
    "message": "response_output_message.ResponseOutputMessage",
}
"""Items that are made objects before the union of all types is tried, which could not tell them apart."""


def parsed_items(items: Sequence[Any], *, image_detail: bool) -> list[Any]:
    """Return raw items with what clients may leave out; `image_detail`: images too get their default."""
    return [_parsed(_with_detail(item) if image_detail else item) for item in items]


def _parsed(item: Any) -> Any:
    kind = item.get("type") if isinstance(item, dict) else None
    if kind not in _PARSED:
        return item
    completed = item
    if kind == "reasoning":
        completed = {"id": "rs_", **item}
    elif kind == "message":
        if item.get("role") != "assistant" or not isinstance(item.get("content"), list):
            return item
        content = list(map(_with_annotations, item["content"]))
        completed = {"id": "msg_", "status": "completed", **item, "content": content}
    try:
        return validator(_PARSED[kind]).validate_python(completed)
    except ValidationError:
        return item


def _with_annotations(part: Any) -> Any:
    is_text = isinstance(part, dict) and part.get("type") == "output_text"
    return {"annotations": [], **part} if is_text else part


def _with_detail(item: Any) -> Any:
    if not isinstance(item, dict) or not isinstance(item.get("content"), list):
        return item
    content = [
        {"detail": "auto", **part} if isinstance(part, dict) and part.get("type") == "input_image" else part
        for part in item["content"]
    ]
    return {**item, "content": content}


def is_continued(items: str | Sequence[Any]) -> bool:
    """Return whether the answer continues the last item, a message that is not complete."""
    if isinstance(items, str) or not items:
        return False
    last = _content(items[-1])
    return last.get("type", "message") in ("message", "reasoning") and last.get("status") in _PARTIAL


def messages_of(items: str | Sequence[Any]) -> list[Json]:
    """Return the messages of a chat that stand for items.

    Raises:
        VLLMValidationError: if there is no message for an item.
    """
    if isinstance(items, str):
        return [{"role": "user", "content": items}]
    messages: list[Json] = []
    for item in items:
        message = _message(_content(item))
        if message["role"] == "assistant" and messages and _merged(messages[-1], message):
            continue
        messages.append(message)
    return messages


def _merged(last: Json, message: Json) -> bool:
    """Add an assistant's message to the one before, if that lacks what it has; return whether that was done."""
    if last["role"] != "assistant":
        return False
    ((name, value),) = [(name, value) for name, value in message.items() if name != "role"]
    if name == "tool_calls":
        last["tool_calls"] = [*(last.get("tool_calls") or ()), *value]
        return True
    if last.get(name) is not None:
        return False
    last[name] = value
    return True


def _message(item: Json) -> Json:
    match item.get("type"):
        case "function_call":
            space = f"{item['namespace']}__" if item.get("namespace") else ""
            return _call(item["call_id"], f"{space}{item['name']}", item["arguments"])
        case "custom_tool_call":
            arguments = json.dumps({"input": item.get("input") or ""}, ensure_ascii=False)
            return _call(item["call_id"], item["name"], arguments)
        case "reasoning":
            return {"role": "assistant", "reasoning": _reasoning(item)}
        case "function_call_output" | "custom_tool_call_output":
            return {"role": "tool", "content": item.get("output"), "tool_call_id": item.get("call_id")}
    if item.get("role") == "assistant" and (text := _first_text(item.get("content"))) is not None:
        return {"role": "assistant", "content": text}
    if "role" not in item:
        raise VLLMValidationError(f"Unsupported input item type: {item.get('type')}", parameter="input")
    return {**item, "content": _listed(item.get("content"))}


def _call(call_id: str, name: str, arguments: str) -> Json:
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "tool_calls": [call]}


def _reasoning(item: Json) -> str:
    if item.get("encrypted_content"):
        raise VLLMValidationError("Encrypted content is not supported.", parameter="input")
    texts = item.get("content") or item.get("summary")
    return str(_content(texts[0])["text"]) if texts else ""


def _first_text(content: Any) -> str | None:
    if isinstance(content, str):
        return content
    parts = _listed(content)
    text = _content(parts[0]).get("text") if parts else None
    return text if isinstance(text, str) else None


def _listed(content: Any) -> Any:
    """Return the parts of a content as a list: pydantic validates some while they are read."""
    if content is None or isinstance(content, str):
        return content
    return [_content(part) for part in content]


def _content(item: Any) -> Json:
    """Return the fields of an item."""
    if isinstance(item, Item):
        return dict(vars(item))
    return dict(item) if isinstance(item, Mapping) else {}
