"""JSON of a message, complete or as events of a stream: vllm/entrypoints/anthropic/serving.py."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
from pydantic import BaseModel, ValidationError

from fake_vllm.engine.lora import EngineError
from fake_vllm.openai.choice import Choice
from fake_vllm.openai.responses import ResponseBuilder

Json = dict[str, Any]
_encode = msgspec.json.encode


class ChatCompletionStreamResponse(BaseModel):
    """An event of the chat, as vLLM reads it to make events of a message; its error for another kind becomes one."""

    model: str
    choices: list[Any]


class MessageBuilder(ResponseBuilder):
    """Builds the response to one request of `/v1/messages`."""

    done = b""

    def complete(self, choices: Sequence[Choice]) -> Json:
        (choice,) = choices
        reason, sequence = self._stop(choice)
        content: Json = {
            "id": self._head["id"],
            "type": "message",
            "role": "assistant",
            "content": [self._block(choice)],
            "model": self._head["model"],
            "stop_reason": reason,
            "usage": self._message_usage(choices),
        }
        return {**content, "stop_sequence": sequence} if sequence is not None else content

    def opening(self, choice: Choice) -> bytes:
        message: Json = {
            "id": self._head["id"],
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": self._head["model"],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": choice.prompt.length, "output_tokens": 0},
        }
        empty: Json = {"input": {}} if self._request.tool_calls else {"text": ""}
        start = _event("content_block_start", content_block={**self._block(choice), **empty}, index=0)
        return _event("message_start", message=message) + (start if choice.text else b"")

    def event(self, choice: Choice, count: int) -> bytes:
        piece = choice.pieces[count - 1]
        if not piece:
            return b""
        if self._request.tool_calls:
            delta = {"type": "input_json_delta", "partial_json": piece}
        else:
            delta = {"type": "text_delta", "text": piece}
        return _event("content_block_delta", delta=delta, index=0)

    def closing(self, choices: Sequence[Choice]) -> bytes:
        (choice,) = choices
        reason, sequence = self._stop(choice)
        delta: Json = {"stop_reason": reason}
        if self._api.names_stop_sequence:
            delta["stop_sequence"] = sequence
        stop = _event("content_block_stop", index=0) if choice.text else b""
        last = _event("message_delta", delta=delta, usage=self._message_usage(choices))
        return stop + last + _event("message_stop")

    def failure(self, error: EngineError) -> bytes:
        content = {"message": error.message, "type": error.type, "param": error.param, "code": error.status}
        message = error.message
        try:
            ChatCompletionStreamResponse.model_validate_json(json.dumps({"error": content}))
        except ValidationError as unfit:
            message = str(unfit)
        return _event("error", error={"type": "internal_error", "message": message})

    def _block(self, choice: Choice) -> Json:
        call = self._request.tool_calls
        if call is None:
            return {"type": "text", "text": choice.text}
        return {"type": "tool_use", "id": self._call_id(choice), "name": call.name, "input": _read(choice.text)}

    def _stop(self, choice: Choice) -> tuple[str, str | None]:
        """Return the reason of the end, and the stop sequence that made it."""
        if choice.ending == "length":
            return "max_tokens", None
        if self._request.tool_calls is not None:
            return "tool_use", None
        if isinstance(choice.stop, str) and self._api.names_stop_sequence:
            return "stop_sequence", choice.stop
        return "end_turn", None

    def _message_usage(self, choices: Sequence[Choice]) -> Json:
        usage = self._usage(choices)
        return {"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"]}


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: ".encode() + _encode({"type": kind, **fields}) + b"\n\n"


def _read(arguments: str) -> Any:
    """Return a tool's arguments; those that the limit of tokens has cut are none."""
    try:
        return json.loads(arguments)
    except ValueError:
        return {}
