"""JSON of responses: the fields that vLLM sends for completions and chats, complete or as events of a stream.

Events are assembled from text that is encoded once for a request: 200 streams need thousands of events a second.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.lora import EngineError
from fake_vllm.openai import tokenizer
from fake_vllm.openai.choice import Choice
from fake_vllm.openai.logprobs import chat_logprobs, completion_logprobs, prompt_logprobs
from fake_vllm.openai.releases import api
from fake_vllm.openai.requests import GenerateRequest

_encode = msgspec.json.encode


class ResponseBuilder:
    """Builds the response to one request."""

    id_prefixes = ("cmpl-", "chatcmpl-")
    """Prefixes of a completion and of a chat."""
    done = b"data: [DONE]\n\n"
    """End of a stream."""

    def __init__(self, request: GenerateRequest, config: EngineConfig, id: str, model: str, created: int) -> None:
        self._request = request
        self._id = id
        self.cached_tokens = 0
        """Tokens of the prompts that the prefix cache had."""
        self._api = api(config.version)
        self._parses = self._api.parses_chats and bool(config.frontend.tool_call_parser)
        self._fingerprint = fingerprint(config) if self._api.fingerprint else None
        self._head = {
            "id": self.id_prefixes[request.chat] + id,
            "object": "chat.completion" if request.chat else "text_completion",
            "created": created,
            "model": model,
        }
        self._event_head = self._event_tail = b""
        if request.stream:
            streamed = {**self._head, "object": "chat.completion.chunk" if request.chat else "text_completion"}
            self._event_head = b"data: " + _encode(streamed)[:-1] + b',"choices":['
            if self._fingerprint is not None:
                self._event_tail = b',"system_fingerprint":' + _encode(self._fingerprint)

    def complete(self, choices: Sequence[Choice]) -> Any:
        """Return the content of a response that is not streamed."""
        request, release = self._request, self._api
        choice_content = self._chat_choice if request.chat else self._completion_choice
        details = {"prompt_tokens_details": None, **release.usage_details}
        content: dict[str, Any] = {
            **self._head,
            "choices": [choice_content(choice) for choice in choices],
            **release.head_fields,
            "usage": {**self._usage(choices), **details},
        }
        if release.head_fields and self._fingerprint is not None:
            content["system_fingerprint"] = self._fingerprint
        if request.chat:
            content["prompt_logprobs"] = self._prompt_logprobs(choices[0])
            if release.token_ids:
                content["prompt_token_ids"] = self._prompt_ids(choices[0])
            if release.prompt_text:
                content["prompt_text"] = choices[0].prompt.text if request.return_prompt_text else None
        return {**content, **release.tail_fields}

    def prelude(self) -> bytes:
        """Return what a stream begins with, before there is a token."""
        return b""

    def opening(self, choice: Choice) -> bytes:
        """Return the first event of a choice in a chat, with its role."""
        content = {
            "index": choice.index,
            "delta": {"role": self._request.role, "content": ""},
            "logprobs": None,
            "finish_reason": None,
        }
        more = b',"prompt_token_ids":' + _encode(self._prompt_ids(choice)) if self._api.token_ids else b""
        if self._api.prompt_text:
            text = choice.prompt.text if self._request.return_prompt_text else None
            more += b',"prompt_text":' + _encode(text)
        event = self._event_head + _encode(content) + b"]" + more + self._usage_so_far(choice, 0) + b"}\n\n"
        if not self._request.prefix:
            return event
        echoed = {**content, "delta": {"content": self._request.prefix}}
        return event + self._event_head + _encode(echoed) + b"]" + self._usage_so_far(choice, 0) + b"}\n\n"

    def event(self, choice: Choice, count: int) -> bytes:
        """Return the event of a choice's token number `count`, counted from 1."""
        last = count == len(choice.pieces)
        content: dict[str, Any] = {"index": choice.index}
        if self._request.chat:
            content["delta"] = self._delta(choice, count)
            content["logprobs"] = self._logprobs(choice, count - 1, count)
        else:
            self._add_text(content, choice, count)
        content["finish_reason"] = self._finish_reason(choice) if last else None
        if last or not self._request.chat:
            content["stop_reason"] = choice.stop if last else None
        if self._api.token_ids:
            if not self._request.chat:
                content["prompt_token_ids"] = self._prompt_ids(choice, echo=True) if count == 1 else None
            ids = self._request.return_token_ids
            content["token_ids"] = self._token_ids(choice, count - 1, count) if ids else None
        tail = self._event_tail if last and not self._request.include_usage else b""
        return self._event_head + _encode(content) + b"]" + self._usage_so_far(choice, count) + tail + b"}\n\n"

    def closing(self, choices: Sequence[Choice]) -> bytes:
        """Return what follows the last token: the event with the usage, if it was asked for."""
        if not self._request.include_usage:
            return b""
        return self._event_head + b'],"usage":' + _encode(self._usage(choices)) + self._event_tail + b"}\n\n"

    def failure(self, error: EngineError) -> bytes:
        """Return the event that ends a stream when the engine fails."""
        content = {"message": error.message, "type": error.type, "param": error.param, "code": error.status}
        return b"data: " + _encode({"error": content}) + b"\n\n"

    def _add_text(self, content: dict[str, Any], choice: Choice, count: int) -> None:
        """Add the text of a completion's event; the first one of an echo has the prompt."""
        request = self._request
        if request.echo and count == 1:
            prompt, generated = self._echoed(choice), choice.pieces[:1]
            content["text"] = prompt + ("" if request.echo_only else generated[0])
            content["logprobs"] = self._echo_logprobs(choice, generated)
        else:
            content["text"] = choice.pieces[count - 1]
            content["logprobs"] = self._logprobs(choice, count - 1, count)

    def _delta(self, choice: Choice, count: int) -> dict[str, Any]:
        piece = choice.pieces[count - 1]
        call = self._request.tool_calls
        if not piece and (self._parses or call is not None):
            return {}
        if call is None:
            return {"content": piece}
        if count > 1:
            return {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
        function = {"name": call.name, "arguments": piece}
        return {"tool_calls": [{"id": self._call_id(choice), "type": "function", "index": 0, "function": function}]}

    def _completion_choice(self, choice: Choice) -> dict[str, Any]:
        request = self._request
        text, logprobs = choice.text, self._logprobs(choice, 0, len(choice.pieces))
        if request.echo:
            text = self._echoed(choice) + ("" if request.echo_only else text)
            logprobs = self._echo_logprobs(choice, self._shown(choice, 0, len(choice.pieces)))
        content = {
            "index": choice.index,
            "text": text,
            "logprobs": logprobs,
            **self._ending(choice),
            "prompt_logprobs": self._prompt_logprobs(choice),
        }
        if self._api.token_ids:
            content["prompt_token_ids"] = self._prompt_ids(choice)
        return {**content, **self._api.choice_fields}

    def _chat_choice(self, choice: Choice) -> dict[str, Any]:
        call = self._request.tool_calls
        message: dict[str, Any] = {
            "role": self._request.role,
            "content": self._request.prefix + choice.text if call is None else "",
            "refusal": None,
            "annotations": None,
            "audio": None,
            "function_call": None,
            **self._api.message_fields,
        }
        if call is not None:
            function = {"name": call.name, "arguments": choice.text}
            message["tool_calls"] = [{"id": self._call_id(choice), "type": "function", "function": function}]
        logprobs = self._logprobs(choice, 0, len(choice.pieces))
        content = {"index": choice.index, "message": message, "logprobs": logprobs, **self._ending(choice)}
        return {**content, **self._api.choice_fields}

    def _ending(self, choice: Choice) -> dict[str, Any]:
        """Return the fields about the end of a choice."""
        content: dict[str, Any] = {"finish_reason": self._finish_reason(choice), "stop_reason": choice.stop}
        if self._api.token_ids:
            ids = self._token_ids(choice, 0, len(choice.pieces)) if self._request.return_token_ids else None
            content["token_ids"] = ids
        return content

    def _finish_reason(self, choice: Choice) -> str:
        call = self._request.tool_calls
        return choice.ending if call is None or choice.ending != "stop" else call.ending

    def _call_id(self, choice: Choice) -> str:
        return f"chatcmpl-tool-{blake2b(f'{self._id}/{choice.index}'.encode(), digest_size=8).hexdigest()}"

    def _usage(self, choices: Sequence[Choice]) -> dict[str, Any]:
        prompt = sum(prompt.length for prompt in self._request.prompts)
        return usage_content(prompt, sum(len(choice.pieces) for choice in choices))

    def _usage_so_far(self, choice: Choice, count: int) -> bytes:
        """Return the usage after `count` tokens, for clients that want it in each event."""
        if not self._request.continuous_usage:
            return b',"usage":null' if self._api.null_usage and not self._request.chat else b""
        usage: dict[str, Any] = usage_content(choice.prompt.length, count)
        if self._request.chat:
            usage |= self._api.usage_details
        return b',"usage":' + _encode(usage)

    def _token_ids(self, choice: Choice, start: int, end: int) -> list[int]:
        ids = [token for piece in choice.pieces[start:end] for token in tokenizer.encode(piece)]
        return [*ids, tokenizer.EOS] if choice.ends_itself and end == len(choice.pieces) else ids

    def _shown(self, choice: Choice, start: int, end: int) -> Sequence[str]:
        """Return the tokens from `start` to `end` as log-probabilities name them."""
        pieces = choice.pieces[start:end]
        return (*pieces[:-1], tokenizer.EOS_TEXT) if choice.ends_itself and end == len(choice.pieces) else pieces

    def _prompt_ids(self, choice: Choice, *, echo: bool = False) -> list[int] | None:
        sent = self._request.return_token_ids or (echo and self._request.echo)
        return choice.prompt.tokens if sent else None

    def _prompt_logprobs(self, choice: Choice) -> list[dict[str, Any] | None] | None:
        count = self._request.prompt_logprobs
        return None if count is None else prompt_logprobs(choice.prompt.tokens, count)

    def _echoed(self, choice: Choice) -> str:
        """Return the prompt as an echo has it: token ids stand for it if they are sent."""
        return "" if self._request.return_token_ids else choice.prompt.text

    def _echo_logprobs(self, choice: Choice, generated: Sequence[str]) -> dict[str, Any] | None:
        """Return log-probabilities of the prompt's tokens and of those that follow."""
        if self._request.logprobs is None:
            return None
        pieces = [tokenizer.decode([token]) for token in choice.prompt.tokens]
        pieces += [] if self._request.echo_only else generated
        return completion_logprobs(pieces, self._request.logprobs, as_ids=self._request.tokens_as_ids, unscored=1)

    def _logprobs(self, choice: Choice, start: int, end: int) -> dict[str, Any] | None:
        """Return log-probabilities of the tokens from `start` to `end`."""
        request = self._request
        if request.logprobs is None:
            return None
        pieces = self._shown(choice, start, end)
        if request.chat:
            return chat_logprobs(pieces, request.logprobs, as_ids=request.tokens_as_ids)
        offset = sum(map(len, choice.pieces[:start])) + (len(self._echoed(choice)) if request.echo else 0)
        return completion_logprobs(pieces, request.logprobs, as_ids=request.tokens_as_ids, offset=offset)


def fingerprint(config: EngineConfig) -> str:
    """Return `system_fingerprint`: version and a digest of the configuration, as vLLM writes it by default."""
    return _fingerprint(config.version, config.model, config.max_model_len, config.max_loras, config.max_lora_rank)


@lru_cache(maxsize=64)
def _fingerprint(version: str, *settings: object) -> str:
    digest = blake2b("/".join(map(str, settings)).encode(), digest_size=4).hexdigest()
    return f"vllm-{version}-{digest}"


def usage_content(prompt: int, completion: int) -> dict[str, Any]:
    """Return the usage of a request, in tokens."""
    return {"prompt_tokens": prompt, "total_tokens": prompt + completion, "completion_tokens": completion}
