"""`POST /inference/v1/generate`: tokens in, tokens out, for servers that split prompt and generation.

See vllm/entrypoints/scale_out/token_in_token_out (in 0.24 and before, vllm/entrypoints/serve/disagg). Its sampling
parameters are checked as those of a completion.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, Field, ValidationError, field_validator

from fake_vllm.engine.engine import Engine, EngineError
from fake_vllm.http.messages import Request
from fake_vllm.http.validation import RequestValidationError, VLLMValidationError
from fake_vllm.openai.choice import Choice
from fake_vllm.openai.completions import GenerationPlan
from fake_vllm.openai.logprobs import chat_logprobs
from fake_vllm.openai.protocol.base import Int64, Json, StreamOptions
from fake_vllm.openai.protocol.completion import CompletionRequest
from fake_vllm.openai.releases import Api, api
from fake_vllm.openai.requests import GenerateRequest, Server, completion_request, refused
from fake_vllm.openai.responses import ResponseBuilder, usage_content

PATH = "/inference/v1/generate"
ABORT_PATH = "/inference/v1/abort_requests"
_OWN = frozenset({"prompt", "prompt_embeds", "model", "stream", "stream_options", "echo", "suffix", "request_id"})
"""Fields of a completion that are no sampling parameters."""
_MODE: Json = {"output_mode": "tokens"}
_NEWER_FIELDS: Json = {
    **_MODE,
    **dict.fromkeys(("prompt_token_id_logprobs", "prompt_token_ids", "mm_placeholders", "metrics")),
}
_encode = msgspec.json.encode


class GenerateTokensRequest(BaseModel):
    """Body of `POST /inference/v1/generate`, vLLM's `GenerateRequest`."""

    request_id: str = ""
    token_ids: Annotated[list[int], Field(min_length=1)]
    sampling_params: Json
    model: str | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    cache_salt: Annotated[str, Field(min_length=1)] | None = None
    priority: Int64 = 0
    kv_transfer_params: Json | None = None
    ec_transfer_params: Json | None = None
    output_mode: str = "tokens"

    @field_validator("token_ids")
    @classmethod
    def check_token_ids(cls, ids: list[int]) -> list[int]:
        if any(token < 0 for token in ids):
            raise ValueError("token_ids must not contain negative values")
        return ids


class TokensBuilder(ResponseBuilder):
    """Builds the response, which has tokens and no text."""

    id_prefixes = ("generate-tokens-", "generate-tokens-")

    def complete(self, choices: Sequence[Choice]) -> Json:
        release, usage = self._api, self._usage(choices)
        origin = {"model": self._head["model"], "created": self._head["created"]} if release.names_tokens else {}
        counted = {"usage": {**usage, "prompt_tokens_details": None, **release.usage_details}}
        return {
            "request_id": self._head["id"],
            **origin,
            "choices": [self._tokens(choice, 0, len(choice.pieces)) for choice in choices],
            **(counted if release.names_tokens else {}),
            "prompt_logprobs": self._prompt_logprobs(choices[0]),
            **{name: value for name, value in release.tail_fields.items() if name != "metrics"},
            **(_NEWER_FIELDS if release.versions_tokens else {}),
        }

    def event(self, choice: Choice, count: int) -> bytes:
        continuous = self._request.continuous_usage
        usage = usage_content(choice.prompt.length, count) if continuous else None
        return self._chunk([self._tokens(choice, count - 1, count)], usage)

    def closing(self, choices: Sequence[Choice]) -> bytes:
        return self._chunk([], self._usage(choices)) if self._request.include_usage else b""

    def _chunk(self, choices: list[Json], usage: Json | None) -> bytes:
        content = {"request_id": self._head["id"], "choices": choices, "usage": usage}
        if self._api.versions_tokens:
            content |= _MODE
        return b"data: " + _encode(content) + b"\n\n"

    def _tokens(self, choice: Choice, start: int, end: int) -> Json:
        last = end == len(choice.pieces)
        return {
            "index": choice.index,
            "logprobs": self._token_logprobs(choice, start, end),
            "finish_reason": choice.ending if last else None,
            "token_ids": self._token_ids(choice, start, end),
            **self._api.choice_fields,
            **({"sampling_mask": None} if self._api.masks_tokens else {}),
            **(self._origin(choice, last=last) if self._api.versions_tokens else {}),
        }

    def _origin(self, choice: Choice, *, last: bool) -> Json:
        """Return why a choice ends, and which weights made it: those that the engine started with."""
        versions = [{"version": "default", "start": 0, "end": len(choice.pieces)}]
        return {"stop_reason": choice.stop if last else None, "weight_versions": versions if last else None}

    def _token_logprobs(self, choice: Choice, start: int, end: int) -> Json | None:
        """Return log-probabilities, which name tokens by their ids alone."""
        if self._request.logprobs is None:
            return None
        content = chat_logprobs(self._shown(choice, start, end), self._request.logprobs, as_ids=True)["content"]
        return {"content": [_without_bytes(entry) for entry in content]}


def generate(engine: Engine, request: Request) -> GenerationPlan:
    """Answer a prompt of tokens."""
    release = api(engine.config.version)
    body = request.parse(GenerateTokensRequest, release)
    if release.versions_tokens and body.output_mode != "tokens":
        raise EngineError(501, "NotImplementedError", "fake-vllm answers tokens with tokens only")
    completion = _completion(body, release)
    return GenerationPlan(
        body.model or "",
        lambda config: _request(completion, Server(config, release)),
        TokensBuilder,
        request.headers.get("x-request-id") or body.request_id,
    )


def _completion(body: GenerateTokensRequest, release: Api) -> CompletionRequest:
    """Return the completion with the same prompt and parameters; without a limit it fills the context.

    Raises:
        RequestValidationError: if a parameter is of another type.
        EngineError: if a parameter is refused.
    """
    names = CompletionRequest.model_fields.keys() - _OWN
    params: dict[str, Any] = {name: value for name, value in body.sampling_params.items() if name in names}
    fields: dict[str, Any] = {
        "prompt": body.token_ids,
        "model": body.model,
        "stream": body.stream and release.streams_tokens,
    }
    if body.stream_options is not None and fields["stream"]:
        fields["stream_options"] = body.stream_options.model_dump()
    try:
        completion = CompletionRequest.model_validate({**params, **fields}, context=release)
    except VLLMValidationError as error:
        raise refused(error) from None
    except ValidationError as error:
        errors = error.errors(include_url=False)
        place = ("body", "sampling_params")
        raise RequestValidationError([{**item, "loc": (*place, *item["loc"])} for item in errors]) from None
    except (TypeError, AttributeError) as error:
        raise EngineError(400, "BadRequestError", str(error), exception="value") from None
    return completion if "max_tokens" in params else completion.model_copy(update={"max_tokens": None})


def _request(completion: CompletionRequest, server: Server) -> GenerateRequest:
    """Return the request; other than a completion's, its answer needs no limit in any release."""
    return msgspec.structs.replace(completion_request(completion, server), answer_error=None)


def _without_bytes(entry: Json) -> Json:
    top = [{**other, "bytes": None} for other in entry["top_logprobs"]]
    return {**entry, "bytes": None, "top_logprobs": top}
