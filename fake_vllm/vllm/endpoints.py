"""Routes beside completions, chats and adapters: what a server that generates text answers or refuses.

See vllm/entrypoints/serve, scale_out and generate.
"""

import asyncio
import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from pydantic import BaseModel, ValidationError

from fake_vllm.engine.engine import Engine, EngineError
from fake_vllm.http.messages import METRICS, Request, Response, error_response, json_response
from fake_vllm.http.paths import METRICS_PATH
from fake_vllm.http.validation import RequestValidationError
from fake_vllm.openai import tokenizer
from fake_vllm.openai.flavor import Perform, Step
from fake_vllm.openai.releases import api
from fake_vllm.openai.responses import usage_content
from fake_vllm.vllm.protocol import EmbeddingRequest
from formats.engine_releases import parse_release

_MODEL_CHECKS_SINCE = (0, 32)  # recorded: before, pydantic's own text of an error is the message
_NEWER_METRICS: Mapping[str, str] = {"content-type": "text/plain; version=1.0.0; charset=utf-8"}


class GenerativeScoringRequest(BaseModel):
    """Body of `POST /generative_scoring`."""

    model: str | None = None
    query: str | list[int]
    items: list[str] | list[list[int]]
    label_token_ids: list[int]
    apply_softmax: bool = True
    item_first: bool = False
    add_special_tokens: bool = True


class QuestionSpec(BaseModel):
    """One question of `POST /v1/systemone`."""

    type: str
    instructions: Any = ""
    criteria: Any = None


class StructuredDecisionRequest(BaseModel):
    """Body of `POST /v1/systemone`."""

    model: str | None = None
    state: Any
    questions: dict[str, QuestionSpec]


def metrics(engine: Engine, request: Request) -> Response:
    """Return the metrics; other methods than GET are answered by prometheus-client's own application."""
    headers = _NEWER_METRICS if request.method == "GET" and request.path == METRICS_PATH else METRICS
    return Response(200, headers, engine.metrics_page().encode())


def embeddings(engine: Engine, request: Request) -> Response:
    """Refuse embeddings, as older releases do; newer ones have no such route."""
    request.parse(EmbeddingRequest)
    return error_response(400, "BadRequestError", "The model does not support Embeddings API")


def kv_event_sources(engine: Engine, request: Request) -> Response:
    """Return the publishers of KV-cache events, of which there are none."""
    return json_response(200, {})


def is_scaling(engine: Engine, request: Request) -> Response:
    return json_response(200, {"is_scaling_elastic_ep": False})


def scale_elastic_ep(engine: Engine, request: Request) -> Response:
    """Refuse to scale, as an engine without data parallelism does."""
    _check_json(request)
    body = json_body(request, "Invalid JSON format")
    size, timeout = body.get("new_data_parallel_size"), body.get("drain_timeout", 120)
    if size is None:
        raise bad_request("new_data_parallel_size is required")
    if not isinstance(size, int) or size <= 0:
        raise bad_request("new_data_parallel_size must be a positive integer")
    if not isinstance(timeout, int) or timeout <= 0:
        raise bad_request("drain_timeout must be a positive integer")
    raise EngineError(500, "Internal Server Error", "Scale failed")


def scale_out_disabled(engine: Engine, request: Request) -> Response:
    message = "Scale-out endpoints are disabled. Restart vllm serve with --enable-scale-out to enable them."
    return error_response(403, "PermissionDeniedError", message)


def rendering_not_built(engine: Engine, request: Request) -> Response:
    """Refuse to turn prompts into tokens, or tokens into text: a real server does so with `--enable-scale-out`."""
    return error_response(501, "NotImplementedError", "fake-vllm does not render prompts as tokens or tokens as text")


def abort_requests(engine: Engine, request: Request) -> Response:
    """Accept the ids of requests to abort. No request of the fake has an id that a client could name."""
    try:
        body = json.loads(request.body)
    except ValueError as error:
        return error_response(400, "Bad Request", f"JSON decode error: {error}")
    if body.get("request_ids") is None:
        return error_response(400, "Bad Request", "Missing 'request_ids' in request body")
    return Response(200, {}, b"")


def structured_decision(engine: Engine, request: Request) -> Response:
    """Refuse structured decisions, as a server does whose tokenizer has no single token for each label."""
    request.parse(StructuredDecisionRequest)
    message = "The model does not support the structured decision API"
    return error_response(501, "NotImplementedError", message)


def generative_scoring(engine: Engine, request: Request) -> Step:
    """Score items: the probability of the first label after the query and each item."""
    body = _scoring_body(engine, request)
    adapter = engine.resolve_model(body.model) if body.model else ""
    vocabulary = engine.config.frontend.vocab_size
    for label in body.label_token_ids:
        if not 0 <= label < vocabulary:
            raise _bad_request_error(
                f"label_token_id {label} is out of vocabulary range [0, {vocabulary}). Please provide valid token IDs."
            )
    if not body.label_token_ids:
        raise _bad_request_error("label_token_ids must contain at least one token ID.")
    if not body.items:
        raise _bad_request_error("items must contain at least one item.")
    lengths = [_length(body.query) + _length(item) for item in body.items]
    engine.runner.metrics.choices.observe(1, len(lengths))

    async def act() -> Response:
        sequences = [engine.runner.submit(adapter, length, 1, limit=1, ending="length") for length in lengths]
        await asyncio.gather(*(engine.runner.wait_finished(sequence) for sequence in sequences))
        return json_response(200, _scores(engine, body, adapter, sum(lengths)))

    return Perform(act)


def _scoring_body(engine: Engine, request: Request) -> GenerativeScoringRequest:
    """Return the body of a scoring.

    Raises:
        RequestValidationError: if it does not fit.
        EngineError: the same in an older release, if it is JSON.
    """
    try:
        return request.parse(GenerativeScoringRequest)
    except RequestValidationError:
        if parse_release(engine.config.version) < _MODEL_CHECKS_SINCE:
            _check_by_pydantic(request)
        raise


def _check_by_pydantic(request: Request) -> None:
    try:
        GenerativeScoringRequest.model_validate(json.loads(request.body))
    except ValidationError as error:
        raise _bad_request_error(str(error)) from None
    except (ValueError, RecursionError):
        return


def _scores(engine: Engine, body: GenerativeScoringRequest, adapter: str, prompt_tokens: int) -> dict[str, Any]:
    return {
        "id": f"generative-scoring-{engine.new_id()[:16]}",
        "object": "list",
        "created": int(engine.now()),
        "model": adapter or engine.config.served_model_names[0],
        "data": [
            {"index": index, "object": "score", "score": _score(engine.seed, adapter, body.query, item)}
            for index, item in enumerate(body.items)
        ],
        "usage": {
            **usage_content(prompt_tokens, len(body.items)),
            "prompt_tokens_details": None,
            **api(engine.config.version).usage_details,
        },
    }


def _score(*source: object) -> float:
    """Return a number between 0 and 1 that depends on `source` alone."""
    return int.from_bytes(blake2b(repr(source).encode(), digest_size=4).digest()) / 2**32


def _length(content: str | list[int]) -> int:
    return tokenizer.count(content) if isinstance(content, str) else len(content)


def _check_json(request: Request) -> None:
    if not request.headers.get("content-type", "").lower().startswith("application/json"):
        raise RequestValidationError(["Unsupported Media Type: Only 'application/json' is allowed"])


def json_body(request: Request, message: str) -> dict[str, Any]:
    """Return the JSON object in a body that no model describes.

    Raises:
        EngineError: with FastAPI's text, or `message` if the body is not JSON.
        NotAnObjectError: if it is JSON of another type.
    """
    try:
        body = json.loads(request.body)
    except json.JSONDecodeError as error:
        raise bad_request(message.format(error=error)) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise bad_request(str(error)) from error
    if not isinstance(body, dict):
        raise NotAnObjectError(type(body).__name__)
    return body


class NotAnObjectError(EngineError):
    """The body is JSON, but no object; `kind` is the name of its Python type."""

    def __init__(self, kind: str) -> None:
        super().__init__(400, "Bad Request", "Request body must be a JSON object")
        self.kind = kind


def bad_request(message: str) -> EngineError:
    """Return the error of an `HTTPException` with status 400."""
    return EngineError(400, "Bad Request", message)


def _bad_request_error(message: str) -> EngineError:
    return EngineError(400, "BadRequestError", message)
