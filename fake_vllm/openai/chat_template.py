"""Conversations as prompts: the checks of vLLM's chat parser, and one plain template.

See vllm/renderers/chat_utils.py.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fake_vllm.http.validation import VLLMValidationError
from fake_vllm.openai.protocol.messages import Message
from fake_vllm.openai.releases import Api

_TEXT_TYPES = ("text", "input_text", "output_text", "refusal", "thinking")
_MEDIA_TYPES = (
    *("input_image", "image_url", "image_embeds", "audio_embeds", "video_embeds", "prompt_embeds", "image_pil"),
    *("audio_url", "input_audio", "video_url"),
)
_NAMED_TYPE = "tool_reference"


@dataclass(frozen=True, slots=True)
class Turn:
    """One message as text."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class TemplateOptions:
    """Options of a template.

    Attributes:
        add_generation_prompt: end with the head of the model's answer.
        continue_final: the answer continues the last message.
    """

    add_generation_prompt: bool = True
    continue_final: bool = False


def turns_of(messages: Sequence[Any], model: str, release: Api) -> list[Turn]:
    """Return the text of each message.

    Raises:
        VLLMValidationError: if one has images, sound or parts of another kind.
        ValueError: if arguments of a call are not JSON; pydantic's, if a part has none of the allowed forms.
    """
    return [_turn(message, model, release) for message in messages]


def render(turns: Sequence[Turn], options: TemplateOptions) -> str:
    """Return the prompt of a conversation.

    Raises:
        VLLMValidationError: if it is empty, or options contradict each other.
    """
    if not turns:
        raise VLLMValidationError("Cannot apply chat template to an empty conversation. Provide at least one message.")
    if options.continue_final and options.add_generation_prompt:
        raise VLLMValidationError(
            "continue_final_message and add_generation_prompt are not compatible. Use continue_final_message when you"
            " want the model to continue the final message, and add_generation_prompt when you want to add a header"
            " that will prompt it to start a new assistant message instead."
        )
    text = "".join(f"<|{turn.role}|>\n{turn.text}\n" for turn in turns)
    if options.continue_final:
        return text.removesuffix("\n")
    return text + "<|assistant|>\n" if options.add_generation_prompt else text


def _turn(message: Any, model: str, release: Api) -> Turn:
    if isinstance(message, Message):
        raise VLLMValidationError("'Message' object is not subscriptable")  # Python's words, of the real server
    content = message.get("content")
    if content is None or isinstance(content, str):
        text = content or ""
    else:
        parts = [_part_text(part, model, release) for part in content]
        text = "\n".join(part for part in parts if part is not None)
    calls = list(message.get("tool_calls") or ()) if message["role"] == "assistant" else []
    if not calls:
        return Turn(message["role"], text)
    texts = [_call_text(call, parses=release.parses_calls) for call in calls]
    return Turn(message["role"], "\n".join([text, *texts]))


def _part_text(part: Any, model: str, release: Api) -> str | None:
    """Return the text of one part, None if it has none."""
    if isinstance(part, str):
        return part
    kind = part.get("type")
    if kind is not None and not isinstance(kind, str):
        raise VLLMValidationError("Invalid 'type' field in multimodal part.", parameter="type")
    if kind in _TEXT_TYPES:
        text: str | None = part.get("text" if kind.endswith("text") else kind)
        return text
    if kind == _NAMED_TYPE:
        return str(part.get("name"))
    if kind in _MEDIA_TYPES or kind is None:
        raise VLLMValidationError(f"{model} is not a multimodal model")
    kinds = sorted((*_TEXT_TYPES, *_MEDIA_TYPES, _NAMED_TYPE))
    supported = ", ".join(name for name in kinds if name != "video_embeds" or release.video_embeds)
    raise VLLMValidationError(
        f"Unsupported chat content part type: {kind!r}. Supported types: {supported}.", parameter="type", value=kind
    )


def _call_text(call: Any, *, parses: bool) -> str:
    """Return a tool call as text; `parses`: its arguments must be JSON.

    Raises:
        VLLMValidationError: if it is not the call of a function.
        ValueError: if its arguments are not JSON.
    """
    function = call.get("function")
    if call.get("type", "function") != "function" or not isinstance(function, dict):
        raise VLLMValidationError(
            "chat completions only support assistant tool_calls of type 'function'.", parameter="tool_calls"
        )
    if parses and function["arguments"]:
        json.loads(function["arguments"])
    return f"{function['name']}({function['arguments']})"
