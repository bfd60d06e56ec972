"""vLLM's routes: what each path does with a request.

Differences that an operator needs are kept: the 404 of a missing route is not the 404 of an unknown adapter, and a
successful load answers in plain text, not JSON.
"""

from collections.abc import Mapping
from dataclasses import replace

from fake_vllm.engine.engine import Engine, EngineError
from fake_vllm.http.messages import JSON, Request, Response, json_response
from fake_vllm.http.paths import CHAT_PATH, COMPLETIONS_PATH, MODELS_PATH
from fake_vllm.http.sanitize import sanitize
from fake_vllm.http.validation import RequestValidationError
from fake_vllm.openai.completions import GenerationPlan
from fake_vllm.openai.flavor import Load, Route, Unload
from fake_vllm.openai.protocol.chat_completion import ChatCompletionRequest
from fake_vllm.openai.protocol.completion import CompletionRequest
from fake_vllm.openai.releases import api
from fake_vllm.vllm.endpoints import metrics
from fake_vllm.vllm.errors import failure, invalid_body
from fake_vllm.vllm.generation import PreparedCompletions, chat_plan
from fake_vllm.vllm.optional_routes import optional_route, optional_routes
from fake_vllm.vllm.protocol import DetokenizeRequest, TokenizeCompletionRequest
from fake_vllm.vllm.tokenize import detokenize, tokenize


class VllmServer:
    """vLLM's flavor of the server."""

    def routes(self, engine: Engine) -> Mapping[str, Route]:
        return {**_ROUTES, **optional_routes(engine.config)}

    def route(self, engine: Engine, path: str) -> Route | None:
        route = _ROUTES.get(path) or optional_route(engine.config, path)
        return _METRICS if route is None and path.startswith("/metrics") else route

    def requires_key(self, engine: Engine, path: str) -> bool:
        return path.startswith(engine.config.quirks.guarded)

    def invalid(self, engine: Engine, error: RequestValidationError) -> Response:
        return invalid_body(engine, error)

    def failed(self, engine: Engine, error: EngineError) -> Response:
        response = failure(engine, error)
        escaped = error.exception in ("engine", "other") and engine.config.quirks.exceptions_are_200
        return replace(response, status=200) if escaped else response

    def changed(self, engine: Engine, step: Load | Unload) -> Response:  # noqa: ARG002 - signature of the protocol
        done = "added" if isinstance(step, Load) else "removed"
        text = step.done or f"Success: LoRA adapter '{step.name}' {done} successfully."
        return Response(200, {}, text.encode())  # plain text, without a content type as on a real server

    def change_failed(self, engine: Engine, step: Load | Unload, error: EngineError) -> Response:  # noqa: ARG002
        return failure(engine, error, sanitize(error.message, hides_paths=engine.config.quirks.hides_paths))


def models(engine: Engine, request: Request) -> Response:
    return Response(200, JSON, engine.models_body())


def health(engine: Engine, request: Request) -> Response:
    return Response(200 if engine.reports_healthy else 503, {}, b"")


def version(engine: Engine, request: Request) -> Response:
    return json_response(200, {"version": engine.config.version})


def server_load(engine: Engine, request: Request) -> Response:
    scheduler = engine.runner.scheduler
    return json_response(200, {"server_load": len(scheduler.running) + len(scheduler.waiting)})


def _completion(engine: Engine, request: Request) -> GenerationPlan:
    return engine.state(PreparedCompletions).plan(request, api(engine.config.version))


def _chat(engine: Engine, request: Request) -> GenerationPlan:
    release = api(engine.config.version)
    return chat_plan(request.parse(ChatCompletionRequest, release), request, release)


_METRICS = Route(("GET",), metrics, any_method=True)  # mounted at every path that begins so
_ROUTES: Mapping[str, Route] = {
    COMPLETIONS_PATH: Route(("POST",), _completion, CompletionRequest),
    CHAT_PATH: Route(("POST",), _chat, ChatCompletionRequest),
    MODELS_PATH: Route(("GET",), models),
    "/health": Route(("GET",), health),
    "/metrics": _METRICS,
    "/tokenize": Route(("POST",), tokenize, TokenizeCompletionRequest),
    "/detokenize": Route(("POST",), detokenize, DetokenizeRequest),
    "/ping": Route(("GET", "POST"), health),
    "/version": Route(("GET",), version),
    "/load": Route(("GET",), server_load),
}
