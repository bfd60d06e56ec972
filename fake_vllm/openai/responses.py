"""JSON of responses: the fields that vLLM sends for completions and chats, complete or as events of a stream.

Events are assembled from text that is encoded once for a request: 200 streams need thousands of events a second.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.lora import EngineError
from fake_vllm.openai import tokenizer
from fake_vllm.openai.choice import Choice
from fake_vllm.openai.requests import GenerateRequest

LOGPROB = -0.6931471805599453  # the logarithm of one half, for every token: the fake computes none
_encode = msgspec.json.encode


class ResponseBuilder:
    """Builds the response to one request."""

    id_prefixes = ("cmpl-", "chatcmpl-")
    """Prefixes of a completion and of a chat."""

    def __init__(self, request: GenerateRequest, config: EngineConfig, id: str, model: str, created: int) -> None:
        self._request = request
        self._has_token_ids = config.quirks.token_ids
        self._head = {
            "id": self.id_prefixes[request.chat] + id,
            "object": "chat.completion" if request.chat else "text_completion",
            "created": created,
            "model": model,
        }
        streamed = {**self._head, "object": "chat.completion.chunk" if request.chat else "text_completion"}
        self._event_head = b"data: " + _encode(streamed)[:-1] + b',"choices":['

    def complete(self, choices: Sequence[Choice]) -> Any:
        """Return the content of a response that is not streamed."""
        choice_content = self._chat_choice if self._request.chat else self._completion_choice
        content: dict[str, Any] = {
            **self._head,
            "choices": [choice_content(choice) for choice in choices],
            "service_tier": None,
            "system_fingerprint": None,
            "usage": {**self._usage(choices), "prompt_tokens_details": None},
        }
        if self._request.chat:
            content["prompt_logprobs"] = None
            if self._has_token_ids:
                content["prompt_token_ids"] = self._prompt_ids(choices[0])
        content["kv_transfer_params"] = None
        return content

    def opening(self, choice: Choice) -> bytes:
        """Return the first event of a choice in a chat, with its role."""
        content = {
            "index": choice.index,
            "delta": {"role": "assistant", "content": ""},
            "logprobs": None,
            "finish_reason": None,
        }
        ids = b',"prompt_token_ids":' + _encode(self._prompt_ids(choice)) if self._has_token_ids else b""
        return self._event_head + _encode(content) + b"]" + ids + self._usage_so_far(choice, 0) + b"}\n\n"

    def event(self, choice: Choice, count: int) -> bytes:
        """Return the event of a choice's token number `count`, counted from 1."""
        last = count == len(choice.pieces)
        piece = choice.pieces[count - 1]
        if self._request.echo and count == 1 and not self._request.chat:
            piece = choice.prompt.text + ("" if self._request.max_tokens == 0 else piece)
        content: dict[str, Any] = {"index": choice.index}
        if self._request.chat:
            content["delta"] = {"content": piece}
        else:
            content["text"] = piece
        content["logprobs"] = self._logprobs(choice, count - 1, count)
        content["finish_reason"] = choice.ending if last else None
        if last or not self._request.chat:
            content["stop_reason"] = choice.stop if last else None
        if self._has_token_ids:
            if not self._request.chat:
                content["prompt_token_ids"] = self._prompt_ids(choice) if count == 1 else None
            ids = self._request.return_token_ids
            content["token_ids"] = tokenizer.encode(choice.pieces[count - 1]) if ids else None
        return self._event_head + _encode(content) + b"]" + self._usage_so_far(choice, count) + b"}\n\n"

    def usage(self, choices: Sequence[Choice]) -> bytes:
        """Return the event with the usage, which follows the last token."""
        return self._event_head + b'],"usage":' + _encode(self._usage(choices)) + b"}\n\n"

    def failure(self, error: EngineError) -> bytes:
        """Return the event that ends a stream when the engine fails."""
        content = {"message": error.message, "type": error.type, "param": error.param, "code": error.status}
        return b"data: " + _encode({"error": content}) + b"\n\n"

    def _completion_choice(self, choice: Choice) -> dict[str, Any]:
        text = choice.text
        if self._request.echo:
            text = choice.prompt.text + ("" if self._request.max_tokens == 0 else text)
        content = {"index": choice.index, "text": text, **self._ending(choice), "prompt_logprobs": None}
        if self._has_token_ids:
            content["prompt_token_ids"] = self._prompt_ids(choice)
        return content

    def _chat_choice(self, choice: Choice) -> dict[str, Any]:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": choice.text,
            "refusal": None,
            "annotations": None,
            "audio": None,
            "function_call": None,
            "tool_calls": [],
            "reasoning_content": None,
        }
        return {"index": choice.index, "message": message, **self._ending(choice)}

    def _ending(self, choice: Choice) -> dict[str, Any]:
        """Return the fields that follow the text of a choice."""
        content: dict[str, Any] = {
            "logprobs": self._logprobs(choice, 0, len(choice.pieces)),
            "finish_reason": choice.ending,
            "stop_reason": choice.stop,
        }
        if self._has_token_ids:
            content["token_ids"] = self._token_ids(choice) if self._request.return_token_ids else None
        return content

    def _usage(self, choices: Sequence[Choice]) -> dict[str, int]:
        prompt = sum(prompt.length for prompt in self._request.prompts)
        return usage_content(prompt, sum(len(choice.pieces) for choice in choices))

    def _usage_so_far(self, choice: Choice, count: int) -> bytes:
        """Return the usage after `count` tokens, for clients that want it in each event."""
        if not self._request.continuous_usage:
            return b""
        return b',"usage":' + _encode(usage_content(choice.prompt.length, count))

    def _token_ids(self, choice: Choice) -> list[int]:
        return [token for piece in choice.pieces for token in tokenizer.encode(piece)]

    def _prompt_ids(self, choice: Choice) -> list[int] | None:
        return tokenizer.encode(choice.prompt.text) if self._request.return_token_ids else None

    def _logprobs(self, choice: Choice, start: int, end: int) -> dict[str, Any] | None:
        """Return log-probabilities of the tokens from `start` to `end`."""
        if self._request.logprobs is None:
            return None
        pieces = choice.pieces[start:end]
        if self._request.chat:
            return {"content": [_token(piece, alternatives=self._request.logprobs != 0) for piece in pieces]}
        offset = sum(map(len, choice.pieces[:start]))
        return {
            "text_offset": [offset + sum(map(len, pieces[:index])) for index in range(len(pieces))],
            "token_logprobs": [LOGPROB] * len(pieces),
            "tokens": list(pieces),
            "top_logprobs": [{piece: LOGPROB} for piece in pieces],
        }


def _token(piece: str, *, alternatives: bool) -> dict[str, Any]:
    token: dict[str, Any] = {"token": piece, "logprob": LOGPROB, "bytes": list(piece.encode("utf-8", "replace"))}
    return {**token, "top_logprobs": [token] if alternatives else []}


def usage_content(prompt: int, completion: int) -> dict[str, int]:
    """Return the usage of a request, in tokens."""
    return {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}
