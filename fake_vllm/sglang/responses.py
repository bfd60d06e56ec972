"""JSON of SGLang's responses: entrypoints/openai/protocol.py and, for `/generate`, managers/tokenizer_manager.py."""

from collections.abc import Sequence
from typing import Any

import msgspec

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.lora import EngineError
from fake_vllm.openai import tokenizer
from fake_vllm.openai.choice import Choice
from fake_vllm.openai.requests import GenerateRequest
from fake_vllm.openai.responses import ResponseBuilder, usage_content
from fake_vllm.sglang.logprobs import LogprobOptions, generate_logprobs

_WEIGHTS = {"weight_version": "default"}
_encode = msgspec.json.encode


def error_content(error: EngineError) -> dict[str, Any]:
    """Return `ErrorResponse`, which has no envelope."""
    return {
        "object": "error",
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.status,
    }


class SglangResponseBuilder(ResponseBuilder):
    """Completions and chats. The stream of a chat ends with an event that holds the reason alone."""

    id_prefixes = ("", "")

    def complete(self, choices: Sequence[Choice]) -> Any:
        choice_content = self._chat_choice if self._request.chat else self._completion_choice
        return {
            **self._head,
            "choices": [choice_content(choice) for choice in choices],
            "usage": _extended(self._usage(choices)),
            "metadata": _WEIGHTS,
        }

    def opening(self, choice: Choice) -> bytes:
        return self._chunk(choice, 0, {"role": "assistant", "content": ""})

    def event(self, choice: Choice, count: int) -> bytes:
        last = count == len(choice.pieces)
        piece = choice.pieces[count - 1]
        if self._request.chat:
            event = self._chunk(choice, count, {"content": piece})
            return event + self._chunk(choice, count, {}, ending=True) if last else event
        if self._request.echo and count == 1:
            piece = choice.prompt.text + piece
        content = {"index": choice.index, "text": piece, "logprobs": self._logprobs(choice, count - 1, count)}
        return self._event({**content, **_finish(choice, last=last)}, choice, count)

    def closing(self, choices: Sequence[Choice]) -> bytes:
        if not self._request.include_usage:
            return b""
        return self._event_head + b'],"usage":' + _encode(_extended(self._usage(choices))) + b"}\n\n"

    def failure(self, error: EngineError) -> bytes:
        return b"data: " + _encode({"error": error_content(error)}) + b"\n\n"

    def _chunk(self, choice: Choice, count: int, delta: dict[str, str], *, ending: bool = False) -> bytes:
        """Return one event of a chat."""
        full_delta = {"role": None, "content": None, "reasoning_content": None, "tool_calls": None, **delta}
        logprobs = self._logprobs(choice, count - 1, count) if count and not ending else None
        content = {"index": choice.index, "delta": full_delta, "logprobs": logprobs, **_finish(choice, last=ending)}
        return self._event(content, choice, count)

    def _event(self, content: dict[str, Any], choice: Choice, count: int) -> bytes:
        usage = None
        if self._request.continuous_usage:
            usage = _extended(usage_content(choice.prompt.length, count))
        return self._event_head + _encode(content) + b'],"usage":' + _encode(usage) + b"}\n\n"

    def _completion_choice(self, choice: Choice) -> dict[str, Any]:
        text = choice.prompt.text + choice.text if self._request.echo else choice.text
        logprobs = self._logprobs(choice, 0, len(choice.pieces))
        return {"index": choice.index, "text": text, "logprobs": logprobs, **_finish(choice)}

    def _chat_choice(self, choice: Choice) -> dict[str, Any]:
        message = {"role": "assistant", "content": choice.text, "reasoning_content": None, "tool_calls": None}
        logprobs = self._logprobs(choice, 0, len(choice.pieces))
        return {"index": choice.index, "message": message, "logprobs": logprobs, **_finish(choice)}


class GenerateResponseBuilder(SglangResponseBuilder):
    """`/generate`. Each event holds all of the text so far."""

    def __init__(
        self, logprobs: LogprobOptions | None, request: GenerateRequest, config: EngineConfig, id: str, *head: Any
    ) -> None:
        """Create the builder; without `logprobs` there are none."""
        super().__init__(request, config, id, *head)
        self._options = logprobs

    def complete(self, choices: Sequence[Choice]) -> Any:
        contents = [self._content(choice, len(choice.pieces)) for choice in choices]
        return contents[0] if len(contents) == 1 else contents

    def event(self, choice: Choice, count: int) -> bytes:
        return b"data: " + _encode(self._content(choice, count)) + b"\n\n"

    def _content(self, choice: Choice, count: int) -> dict[str, Any]:
        text = "".join(choice.pieces[:count])
        finish_reason: dict[str, Any] | None = None
        if count == len(choice.pieces):
            stopped = {"type": "stop", "matched": _matched_stop(choice)}
            finish_reason = stopped if choice.ending == "stop" else {"type": "length", "length": count}
        meta_info = {
            "id": self._head["id"],
            "finish_reason": finish_reason,
            "prompt_tokens": choice.prompt.length,
            **_WEIGHTS,
            "total_retractions": 0,
            "completion_tokens": count,
            "cached_tokens": 0,
        }
        if self._options is not None:
            meta_info |= generate_logprobs(self._options, choice.prompt.tokens, choice.pieces[:count])
        return {"text": text, "output_ids": tokenizer.encode(text), "meta_info": meta_info}


def _finish(choice: Choice, *, last: bool = True) -> dict[str, Any]:
    if not last:
        return {"finish_reason": None, "matched_stop": None}
    return {"finish_reason": choice.ending, "matched_stop": _matched_stop(choice)}


def _matched_stop(choice: Choice) -> str | int | None:
    """Return what ended a text: a stop string, or the model's own token."""
    return (tokenizer.EOS if choice.stop is None else choice.stop) if choice.ending == "stop" else None


def _extended(usage: dict[str, int]) -> dict[str, Any]:
    """Return SGLang's `UsageInfo`."""
    return {**usage, "prompt_tokens_details": None, "reasoning_tokens": 0}
