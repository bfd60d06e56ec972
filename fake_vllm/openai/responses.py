"""The JSON of answers: field by field what vLLM sends for completions and chats, whole or in events.

Events are put together from text that is made once a choice, since two hundred streams want thousands a second.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.lora import EngineError
from fake_vllm.openai import tokenizer as tokens
from fake_vllm.openai.requests import GenerateRequest

if TYPE_CHECKING:
    from fake_vllm.openai.completions import Choice

_encode = msgspec.json.encode


class ResponseBuilder:
    """What all answers to one request have in common."""

    id_prefixes = ("cmpl-", "chatcmpl-")
    """Of a completion and of a chat."""

    def __init__(self, ask: GenerateRequest, config: EngineConfig, id: str, model: str, created: int) -> None:
        self._ask = ask
        self._ids = config.quirks.token_ids
        self._head = {
            "id": self.id_prefixes[ask.chat] + id,
            "object": "chat.completion" if ask.chat else "text_completion",
            "created": created,
            "model": model,
        }
        streamed = {**self._head, "object": "chat.completion.chunk" if ask.chat else "text_completion"}
        self._event_head = b"data: " + _encode(streamed)[:-1] + b',"choices":['

    def whole(self, answers: Sequence["Choice"]) -> dict[str, Any]:
        """An answer in one piece."""
        choice = self._chat_choice if self._ask.chat else self._choice
        body: dict[str, Any] = {
            **self._head,
            "choices": [choice(answer) for answer in answers],
            "service_tier": None,
            "system_fingerprint": None,
            "usage": {**self._count(answers), "prompt_tokens_details": None},
        }
        if self._ask.chat:
            body["prompt_logprobs"] = None
            if self._ids:
                body["prompt_token_ids"] = self._prompt_ids(answers[0])
        body["kv_transfer_params"] = None
        return body

    def opening(self, answer: "Choice") -> bytes:
        """A chat's first event: who speaks."""
        choice = {
            "index": answer.index,
            "delta": {"role": "assistant", "content": ""},
            "logprobs": None,
            "finish_reason": None,
        }
        ids = b',"prompt_token_ids":' + _encode(self._prompt_ids(answer)) if self._ids else b""
        return self._event_head + _encode(choice) + b"]" + ids + self._running(answer, 0) + b"}\n\n"

    def event(self, answer: "Choice", upto: int) -> bytes:
        """The event of the token number `upto`, counted from 1."""
        last = upto == len(answer.pieces)
        piece = answer.pieces[upto - 1]
        if self._ask.echo and upto == 1 and not self._ask.chat:
            piece = answer.prompt.text + ("" if self._ask.max_tokens == 0 else piece)
        choice: dict[str, Any] = {"index": answer.index}
        if self._ask.chat:
            choice["delta"] = {"content": piece}
        else:
            choice["text"] = piece
        choice["logprobs"] = self._logprobs(answer, upto - 1, upto)
        choice["finish_reason"] = answer.ending if last else None
        if last or not self._ask.chat:
            choice["stop_reason"] = answer.stop if last else None
        if self._ids:
            if not self._ask.chat:
                choice["prompt_token_ids"] = self._prompt_ids(answer) if upto == 1 else None
            choice["token_ids"] = tokens.encode(answer.pieces[upto - 1]) if self._ask.token_ids else None
        return self._event_head + _encode(choice) + b"]" + self._running(answer, upto) + b"}\n\n"

    def usage(self, answers: Sequence["Choice"]) -> bytes:
        """The event behind the last one, if it was asked for."""
        return self._event_head + b'],"usage":' + _encode(self._count(answers)) + b"}\n\n"

    def failure(self, fault: EngineError) -> bytes:
        """What a stream says when the engine fails under it."""
        told = {"message": fault.message, "type": fault.type, "param": fault.param, "code": fault.status}
        return b"data: " + _encode({"error": told}) + b"\n\n"

    def _choice(self, answer: "Choice") -> dict[str, Any]:
        text = answer.text
        if self._ask.echo:
            text = answer.prompt.text + ("" if self._ask.max_tokens == 0 else text)
        choice: dict[str, Any] = {
            "index": answer.index,
            "text": text,
            "logprobs": self._logprobs(answer, 0, len(answer.pieces)),
            "finish_reason": answer.ending,
            "stop_reason": answer.stop,
        }
        if self._ids:
            choice["token_ids"] = self._answer_ids(answer)
        choice["prompt_logprobs"] = None
        if self._ids:
            choice["prompt_token_ids"] = self._prompt_ids(answer)
        return choice

    def _chat_choice(self, answer: "Choice") -> dict[str, Any]:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": answer.text,
            "refusal": None,
            "annotations": None,
            "audio": None,
            "function_call": None,
            "tool_calls": [],
            "reasoning_content": None,
        }
        choice: dict[str, Any] = {
            "index": answer.index,
            "message": message,
            "logprobs": self._logprobs(answer, 0, len(answer.pieces)),
            "finish_reason": answer.ending,
            "stop_reason": answer.stop,
        }
        if self._ids:
            choice["token_ids"] = self._answer_ids(answer)
        return choice

    def _count(self, answers: Sequence["Choice"]) -> dict[str, int]:
        prompt = sum(each.length for each in self._ask.prompts)
        return _usage(prompt, sum(len(answer.pieces) for answer in answers))

    def _running(self, answer: "Choice", upto: int) -> bytes:
        """Usage so far, in every event, if that was asked for."""
        if not self._ask.running_usage:
            return b""
        return b',"usage":' + _encode(_usage(answer.prompt.length, upto))

    def _prompt_ids(self, answer: "Choice") -> list[int] | None:
        return tokens.encode(answer.prompt.text) if self._ask.token_ids else None

    def _answer_ids(self, answer: "Choice") -> list[int] | None:
        return [token for piece in answer.pieces for token in tokens.encode(piece)] if self._ask.token_ids else None

    def _logprobs(self, answer: "Choice", start: int, end: int) -> dict[str, Any] | None:
        """Log-probabilities of some tokens: an even chance for each, as nothing was computed."""
        if self._ask.logprobs is None:
            return None
        pieces = answer.pieces[start:end]
        if self._ask.chat:
            return {"content": [_token(piece, alternatives=self._ask.logprobs != 0) for piece in pieces]}
        offset = sum(map(len, answer.pieces[:start]))
        offsets = [offset + sum(map(len, pieces[:at])) for at in range(len(pieces))]
        return {
            "text_offset": offsets,
            "token_logprobs": [EVEN] * len(pieces),
            "tokens": list(pieces),
            "top_logprobs": [{piece: EVEN} for piece in pieces],
        }


EVEN = -0.6931471805599453  # the logarithm of one half


def _token(piece: str, *, alternatives: bool) -> dict[str, Any]:
    own: dict[str, Any] = {"token": piece, "logprob": EVEN, "bytes": list(piece.encode("utf-8", "replace"))}
    return {**own, "top_logprobs": [own] if alternatives else []}


def _usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}
