"""JSON of a response, complete or as events of a stream.

See `ResponsesResponse` in vllm/entrypoints/openai/responses/protocol.py and streaming_events.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.lora import EngineClosed, EngineError
from fake_vllm.openai import tokenizer
from fake_vllm.openai.choice import Choice
from fake_vllm.openai.logprobs import chat_logprobs
from fake_vllm.openai.requests import GenerateRequest
from fake_vllm.openai.responses import ResponseBuilder
from fake_vllm.openai.responses_api.openai_types import written
from fake_vllm.openai.responses_api.protocol import ResponsesRequest

Json = dict[str, Any]
_encode = msgspec.json.encode
_GREEDY = 1e-5  # vLLM, vllm/sampling_params.py: temperatures below are greedy, which makes top_p 1


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, and where its response goes.

    Attributes:
        keep: called with the complete response.
    """

    body: ResponsesRequest
    keep: Callable[[Json], None]


class ResponsesBuilder(ResponseBuilder):
    """Builds the response to one request of `/v1/responses`."""

    done = b""

    def __init__(
        self, exchange: Exchange, request: GenerateRequest, config: EngineConfig, id: str, model: str, created: int
    ) -> None:
        super().__init__(request, config, id, model, created)
        self._body, self._keep = exchange.body, exchange.keep
        self._model, self._created = model, created
        self._limit = max(1, config.max_model_len - request.prompts[0].length)
        self._events = 0

    def complete(self, choices: Sequence[Choice]) -> Json:
        content = self.content(self._status(choices[0]), [self._item(choices[0])], choices)
        self._keep(content)
        return content

    def content(self, status: str, output: list[Json], choices: Sequence[Choice] = ()) -> Json:
        """Return the response with a status and output items; its usage is that of `choices`."""
        body = self._body
        greedy = body.temperature is not None and body.temperature < _GREEDY
        incomplete = {"reason": "max_output_tokens"} if status == "incomplete" else None
        return {
            "id": self._id,
            "created_at": self._created,
            "incomplete_details": incomplete,
            "instructions": body.instructions,
            "metadata": body.metadata,
            "model": self._model,
            "object": "response",
            "output": output,
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "temperature": 1.0 if body.temperature is None else body.temperature,
            "tool_choice": written("tool_choice", body.tool_choice),
            "tools": [written("tool", tool) for tool in body.tools],
            "top_p": 1.0 if body.top_p is None or greedy else body.top_p,
            "background": bool(body.background),
            "max_output_tokens": min(body.max_output_tokens or self._limit, self._limit),
            "max_tool_calls": body.max_tool_calls,
            "previous_response_id": body.previous_response_id,
            "prompt": None,
            "reasoning": written("reasoning", body.reasoning),
            "service_tier": body.service_tier,
            "status": status,
            "text": written("text", body.text),
            "top_logprobs": body.top_logprobs if body.includes_logprobs else None,
            "truncation": body.truncation,
            "usage": self._response_usage(choices) if choices else None,
            "user": body.user,
            "presence_penalty": body.presence_penalty or 0.0,
            "frequency_penalty": body.frequency_penalty or 0.0,
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            **self._messages(choices),
        }

    # Events

    def prelude(self) -> bytes:
        started = self.content("in_progress", [])
        names = ("response.created", "response.in_progress")
        return b"".join(self._event(name, response=started) for name in names)

    def opening(self, choice: Choice) -> bytes:
        if self._request.tool_calls is not None:
            return self._event("response.output_item.added", item=self._call(choice, "", "in_progress"), output_index=0)
        item = {**self._message(choice, []), "status": "in_progress"}
        added = self._event("response.output_item.added", item=item, output_index=0)
        part = {**_text_part(""), "logprobs": []}
        return added + self._event("response.content_part.added", **self._place(choice), content_index=0, part=part)

    def event(self, choice: Choice, count: int) -> bytes:
        delta = choice.pieces[count - 1]
        last = count == len(choice.pieces)
        if self._request.tool_calls is not None:
            place = self._place(choice)
            event = self._event("response.function_call_arguments.delta", **place, delta=delta) if delta else b""
            return event + (self._call_done(choice) if last else b"")
        if not delta and self._parses:
            return self._text_done(choice) if last else b""
        logprobs = [
            {
                "token": entry["token"],
                "logprob": entry["logprob"],
                "top_logprobs": [_without_bytes(other) for other in entry["top_logprobs"]],
            }
            for entry in self._token_logprobs(choice, count - 1, count) or ()
        ]
        event = self._event(
            "response.output_text.delta", **self._place(choice), content_index=0, delta=delta, logprobs=logprobs
        )
        return event + (self._text_done(choice) if last else b"")

    def closing(self, choices: Sequence[Choice]) -> bytes:
        content = self.content(self._status(choices[0]), [self._item(choices[0])], choices)
        self._keep(content)
        return self._event("response.completed", response=content)

    def failure(self, error: EngineError) -> bytes:
        """Break the connection, as a real server does: a stream that has begun has no event for an error.

        Raises:
            EngineClosed: always.
        """
        raise EngineClosed(error.message)

    def _event(self, kind: str, **fields: Any) -> bytes:
        content = {**fields, "sequence_number": self._events, "type": kind}
        self._events += 1
        return f"event: {kind}\ndata: ".encode() + _encode(content) + b"\n\n"

    def _text_done(self, choice: Choice) -> bytes:
        place = {**self._place(choice), "content_index": 0}
        part = self._part(choice) if self._api.joined_logprobs else _text_part(choice.text)
        return b"".join(
            (
                self._event("response.output_text.done", **place, text=choice.text, logprobs=[]),
                self._event("response.content_part.done", **place, part=part),
                self._item_done(self._message(choice, [part] if choice.text else [])),
            )
        )

    def _call_done(self, choice: Choice) -> bytes:
        call = self._call(choice, choice.text, "completed")
        done = self._event("response.function_call_arguments.done", **self._place(choice), arguments=choice.text)
        return done + self._item_done(call)

    def _item_done(self, item: Json) -> bytes:
        summary: Json = {"summary": []} if self._api.done_summary else {}
        return self._event("response.output_item.done", item={**item, **summary}, output_index=0)

    # Parts

    def _status(self, choice: Choice) -> str:
        return "incomplete" if choice.ending == "length" else "completed"

    def _item(self, choice: Choice) -> Json:
        if self._request.tool_calls is not None:
            return self._call(choice, choice.text, "completed")
        return self._message(choice, [self._part(choice)] if choice.text else [])

    def _message(self, choice: Choice, content: list[Json]) -> Json:
        return {
            "id": self._item_id(choice),
            "content": content,
            "role": "assistant",
            "status": "completed",
            "type": "message",
            "phase": None,
        }

    def _call(self, choice: Choice, arguments: str, status: str) -> Json:
        call = self._request.tool_calls
        assert call is not None, "a response without a tool call"
        return {
            "arguments": arguments,
            "call_id": self._call_id(choice),
            "name": call.name,
            "type": "function_call",
            "id": self._item_id(choice),
            "async": None,
            "caller": None,
            "namespace": None,
            "status": status,
        }

    def _part(self, choice: Choice) -> Json:
        return {**_text_part(choice.text), "logprobs": self._token_logprobs(choice, 0, len(choice.pieces))}

    def _token_logprobs(self, choice: Choice, start: int, end: int) -> list[Json] | None:
        if not self._body.includes_logprobs:
            return None
        tokens = self._shown(choice, start, end)
        content: list[Json] = chat_logprobs(tokens, self._body.top_logprobs, as_ids=False)["content"]
        return content

    def _place(self, choice: Choice) -> Json:
        return {"item_id": self._item_id(choice), "output_index": 0}

    def _item_id(self, choice: Choice) -> str:
        kind = "msg" if self._request.tool_calls is None else "fc"
        return f"{kind}_{blake2b(f'{self._id}/{choice.index}'.encode(), digest_size=16).hexdigest()}"

    def _response_usage(self, choices: Sequence[Choice]) -> Json:
        usage = self._usage(choices)
        details = {"cached_tokens": self.cached_tokens, "input_tokens_per_turn": [], "cached_tokens_per_turn": []}
        return {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {**details, **({"cache_write_tokens": 0} if self._api.cache_writes else {})},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {
                "reasoning_tokens": 0,
                "tool_output_tokens": 0,
                "output_tokens_per_turn": [],
                "tool_output_tokens_per_turn": [],
            },
            "total_tokens": usage["total_tokens"],
        }

    def _messages(self, choices: Sequence[Choice]) -> Json:
        """Return prompt and answer as the model read and wrote them, if they were asked for."""
        if not choices or not self._body.enable_response_messages:
            return {"input_messages": None, "output_messages": None}
        choice = choices[0]
        return {
            "input_messages": [_raw_message(choice.prompt.text, choice.prompt.tokens)],
            "output_messages": [_raw_message(choice.text, tokenizer.encode(choice.text))],
        }


def _text_part(text: str) -> Json:
    return {"annotations": [], "text": text, "type": "output_text", "logprobs": None}


def _without_bytes(entry: Json) -> Json:
    return {"token": entry["token"], "logprob": entry["logprob"]}


def _raw_message(text: str, tokens: list[int]) -> Json:
    return {"message": text, "tokens": tokens, "type": "raw_message_tokens"}
