"""vLLM's routes: what each path does with a request.

Differences that an operator needs are kept: the 404 of a missing route is not the 404 of an unknown adapter, and a
successful load answers in plain text, not JSON.
"""

from collections.abc import Mapping
from urllib.parse import parse_qs

from fake_vllm.engine.engine import Engine, EngineError
from fake_vllm.http.messages import JSON, METRICS, Request, Response, error_response, json_response
from fake_vllm.http.validation import RequestValidationError
from fake_vllm.openai.completions import GenerationPlan
from fake_vllm.openai.flavor import Load, Route, Unload
from fake_vllm.openai.protocol.chat_completion import ChatCompletionRequest
from fake_vllm.openai.protocol.completion import CompletionRequest
from fake_vllm.openai.releases import api
from fake_vllm.openai.requests import Server, chat_request, completion_request
from fake_vllm.openai.responses import ResponseBuilder
from fake_vllm.vllm.errors import invalid_body
from fake_vllm.vllm.protocol import (
    DetokenizeRequest,
    EmbeddingRequest,
    LoadLoRAAdapterRequest,
    TokenizeCompletionRequest,
    UnloadLoRAAdapterRequest,
)
from fake_vllm.vllm.tokenize import detokenize, tokenize

COMPLETIONS_PATH = "/v1/completions"
CHAT_PATH = "/v1/chat/completions"
LOAD_PATH = "/v1/load_lora_adapter"
UNLOAD_PATH = "/v1/unload_lora_adapter"
MODELS_PATH = "/v1/models"
EMBEDDINGS_PATH = "/v1/embeddings"

RESET_PATH = "/reset_prefix_cache"

_QUERY_TRUE = ("1", "true", "t", "yes", "y", "on")  # pydantic's booleans
_RUNTIME_UPDATING = (LOAD_PATH, UNLOAD_PATH)  # present only if the server allows runtime updating
_OPEN = ("/health", "/ping", "/version", "/load", "/metrics", "/openapi.json", "/docs")  # never need the key


class VllmServer:
    """vLLM's flavor of the server."""

    def routes(self, engine: Engine) -> Mapping[str, Route]:
        return {path: route for path in _ROUTES if (route := self.route(engine, path)) is not None}

    def route(self, engine: Engine, path: str) -> Route | None:
        if path in _RUNTIME_UPDATING and not engine.config.runtime_updating:
            return None
        if path == RESET_PATH and not engine.config.development:
            return None
        if path == EMBEDDINGS_PATH and not engine.config.quirks.embeddings_route:
            return None
        return _ROUTES.get(path)

    def requires_key(self, engine: Engine, path: str) -> bool:
        if path.startswith("/v1"):
            return True
        everywhere = engine.config.quirks.guards_all_routes
        return everywhere and path not in _OPEN and self.route(engine, path) is not None

    def invalid(self, engine: Engine, error: RequestValidationError) -> Response:
        return invalid_body(engine, error)

    def failed(self, error: EngineError) -> Response:
        return error_response(error.status, error.type, error.message, error.param)

    def changed(self, engine: Engine, step: Load | Unload) -> Response:  # noqa: ARG002 - signature of the protocol
        done = "added" if isinstance(step, Load) else "removed"
        text = f"Success: LoRA adapter '{step.name}' {done} successfully."
        return Response(200, {}, text.encode())  # plain text, without a content type as on a real server

    def change_failed(self, engine: Engine, step: Load | Unload, error: EngineError) -> Response:  # noqa: ARG002
        return self.failed(error)


def models(engine: Engine, request: Request) -> Response:  # noqa: ARG001 - signature of a route's step, as below
    return Response(200, JSON, engine.models_body())


def health(engine: Engine, request: Request) -> Response:  # noqa: ARG001
    return Response(200 if engine.healthy else 503, {}, b"")


def metrics(engine: Engine, request: Request) -> Response:  # noqa: ARG001
    return Response(200, METRICS, engine.metrics_page().encode())


def _version(engine: Engine, request: Request) -> Response:  # noqa: ARG001
    return json_response(200, {"version": engine.config.version})


def _server_load(engine: Engine, request: Request) -> Response:  # noqa: ARG001
    scheduler = engine.runner.scheduler
    return json_response(200, {"server_load": len(scheduler.running) + len(scheduler.waiting)})


def _reset_prefix_cache(engine: Engine, request: Request) -> Response:
    wanted = parse_qs(request.query).get("reset_running_requests", [""])[-1].lower()
    success = engine.runner.reset_prefix_cache(preempt=wanted in _QUERY_TRUE)
    return json_response(200, {"success": success}) if engine.config.quirks.reset_tells else Response(200, {}, b"")


def _embeddings(engine: Engine, request: Request) -> Response:  # noqa: ARG001
    request.parse(EmbeddingRequest)
    return error_response(400, "BadRequestError", "The model does not support Embeddings API")


def _completion(engine: Engine, request: Request) -> GenerationPlan:
    body = request.parse(CompletionRequest, api(engine.config.version))
    return GenerationPlan(
        body.model or "",
        lambda config: completion_request(body, Server(config, api(config.version))),
        ResponseBuilder,
        request.headers.get("x-request-id") or body.request_id,
    )


def _chat(engine: Engine, request: Request) -> GenerationPlan:
    body = request.parse(ChatCompletionRequest, api(engine.config.version))
    return GenerationPlan(
        body.model or "",
        lambda config: chat_request(body, Server(config, api(config.version))),
        ResponseBuilder,
        request.headers.get("x-request-id") or body.request_id,
    )


def _load(engine: Engine, request: Request) -> Load:  # noqa: ARG001
    body = request.parse(LoadLoRAAdapterRequest)
    return Load(body.lora_name, body.lora_path, body.load_inplace)


def _unload(engine: Engine, request: Request) -> Unload:  # noqa: ARG001
    return Unload(request.parse(UnloadLoRAAdapterRequest).lora_name)


_ROUTES: Mapping[str, Route] = {
    COMPLETIONS_PATH: Route(("POST",), _completion, CompletionRequest),
    CHAT_PATH: Route(("POST",), _chat, ChatCompletionRequest),
    MODELS_PATH: Route(("GET",), models),
    "/health": Route(("GET",), health),
    "/metrics": Route(("GET",), metrics),
    LOAD_PATH: Route(("POST",), _load, LoadLoRAAdapterRequest),
    UNLOAD_PATH: Route(("POST",), _unload, UnloadLoRAAdapterRequest),
    EMBEDDINGS_PATH: Route(("POST",), _embeddings, EmbeddingRequest),
    RESET_PATH: Route(("POST",), _reset_prefix_cache),
    "/tokenize": Route(("POST",), tokenize, TokenizeCompletionRequest),
    "/detokenize": Route(("POST",), detokenize, DetokenizeRequest),
    "/ping": Route(("GET", "POST"), health),
    "/version": Route(("GET",), _version),
    "/load": Route(("GET",), _server_load),
}
