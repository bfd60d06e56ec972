"""The JSON of SGLang's answers: entrypoints/openai/protocol.py and, for `/generate`, managers/tokenizer_manager.py."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from fake_vllm.engine.lora import EngineError, Model
from fake_vllm.openai import tokenizer as tokens
from fake_vllm.openai.responses import ResponseBuilder

if TYPE_CHECKING:
    from fake_vllm.openai.completions import Choice

EOS = 2  # the token that ends an answer by itself, as `matched_stop` names it; Llama 2's and Mistral's
_WEIGHTS = {"weight_version": "default"}
_encode = msgspec.json.encode


def card(model: Model, created: int) -> dict[str, object]:
    """A model as `GET /v1/models` shows it; a base model's root is its name, not its path."""
    return {
        "id": model.id,
        "object": "model",
        "created": created,
        "owned_by": "sglang",
        "root": model.id if model.parent is None else model.root,
        "parent": model.parent,
        "max_model_len": model.max_model_len,
    }


def error(fault: EngineError) -> dict[str, Any]:
    """`ErrorResponse`, which has no envelope."""
    return {
        "object": "error",
        "message": fault.message,
        "type": fault.type,
        "param": fault.param,
        "code": fault.status,
    }


class SglangResponseBuilder(ResponseBuilder):
    """Completions and chats. A chat's stream ends in an event of its own that says why."""

    id_prefixes = ("", "")

    def whole(self, answers: Sequence["Choice"]) -> dict[str, Any]:
        choice = self._chat_choice if self._ask.chat else self._choice
        return {
            **self._head,
            "choices": [choice(answer) for answer in answers],
            "usage": self._usage(answers),
            "metadata": _WEIGHTS,
        }

    def opening(self, answer: "Choice") -> bytes:
        return self._chunk(answer, 0, {"role": "assistant", "content": ""})

    def event(self, answer: "Choice", upto: int) -> bytes:
        last = upto == len(answer.pieces)
        piece = answer.pieces[upto - 1]
        if self._ask.chat:
            said = self._chunk(answer, upto, {"content": piece})
            return said + self._chunk(answer, upto, {}, ending=True) if last else said
        if self._ask.echo and upto == 1:
            piece = answer.prompt.text + piece
        choice = {"index": answer.index, "text": piece, "logprobs": self._logprobs(answer, upto - 1, upto)}
        return self._event({**choice, **_ending(answer, last=last)}, answer, upto)

    def usage(self, answers: Sequence["Choice"]) -> bytes:
        return self._event_head + b'],"usage":' + _encode(self._usage(answers)) + b"}\n\n"

    def failure(self, fault: EngineError) -> bytes:
        return b"data: " + _encode({"error": error(fault)}) + b"\n\n"

    def _chunk(self, answer: "Choice", upto: int, delta: dict[str, str], *, ending: bool = False) -> bytes:
        """One event of a chat."""
        said = {"role": None, "content": None, "reasoning_content": None, "tool_calls": None, **delta}
        logprobs = self._logprobs(answer, upto - 1, upto) if upto and not ending else None
        choice = {"index": answer.index, "delta": said, "logprobs": logprobs, **_ending(answer, last=ending)}
        return self._event(choice, answer, upto)

    def _event(self, choice: dict[str, Any], answer: "Choice", upto: int) -> bytes:
        running = _usage(answer.prompt.length, upto) if self._ask.running_usage else None
        return self._event_head + _encode(choice) + b'],"usage":' + _encode(running) + b"}\n\n"

    def _choice(self, answer: "Choice") -> dict[str, Any]:
        text = answer.prompt.text + answer.text if self._ask.echo else answer.text
        logprobs = self._logprobs(answer, 0, len(answer.pieces))
        return {"index": answer.index, "text": text, "logprobs": logprobs, **_ending(answer)}

    def _chat_choice(self, answer: "Choice") -> dict[str, Any]:
        message = {"role": "assistant", "content": answer.text, "reasoning_content": None, "tool_calls": None}
        logprobs = self._logprobs(answer, 0, len(answer.pieces))
        return {"index": answer.index, "message": message, "logprobs": logprobs, **_ending(answer)}

    def _usage(self, answers: Sequence["Choice"]) -> dict[str, Any]:
        counted = self._count(answers)
        return _usage(counted["prompt_tokens"], counted["completion_tokens"])


class GenerateResponseBuilder(SglangResponseBuilder):
    """`/generate`. An event holds all of the text so far."""

    def whole(self, answers: Sequence["Choice"]) -> Any:
        told = [self._told(answer, len(answer.pieces)) for answer in answers]
        return told[0] if len(told) == 1 else told

    def event(self, answer: "Choice", upto: int) -> bytes:
        return b"data: " + _encode(self._told(answer, upto)) + b"\n\n"

    def _told(self, answer: "Choice", upto: int) -> dict[str, Any]:
        text = "".join(answer.pieces[:upto])
        ending: dict[str, Any] | None = None
        if upto == len(answer.pieces):
            stopped = {"type": "stop", "matched": _matched(answer)}
            ending = stopped if answer.ending == "stop" else {"type": "length", "length": upto}
        about = {
            "id": self._head["id"],
            "finish_reason": ending,
            "prompt_tokens": answer.prompt.length,
            **_WEIGHTS,
            "total_retractions": 0,
            "completion_tokens": upto,
            "cached_tokens": 0,
        }
        return {"text": text, "output_ids": tokens.encode(text), "meta_info": about}


def _ending(answer: "Choice", *, last: bool = True) -> dict[str, Any]:
    if not last:
        return {"finish_reason": None, "matched_stop": None}
    return {"finish_reason": answer.ending, "matched_stop": _matched(answer)}


def _matched(answer: "Choice") -> str | int | None:
    """What ended an answer: a stop string, or the model itself."""
    return (EOS if answer.stop is None else answer.stop) if answer.ending == "stop" else None


def _usage(prompt: int, completion: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "total_tokens": prompt + completion,
        "completion_tokens": completion,
        "prompt_tokens_details": None,
        "reasoning_tokens": 0,
    }
