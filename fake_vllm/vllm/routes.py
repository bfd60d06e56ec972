"""vLLM's routes: what each path makes of a request.

An operator must tell answers apart that look alike, so the differences are kept: the 404 of a route that is
not there is not the 404 of an unknown adapter, and a success is bare text, not JSON.
"""

from collections.abc import Mapping

from fake_vllm.engine.engine import Engine, EngineError
from fake_vllm.http import openapi
from fake_vllm.http.messages import JSON, METRICS, Request, Response, encoded, error
from fake_vllm.http.validation import Invalid, boolean, integer, listing, optional, required, string, wholes
from fake_vllm.openai import requests as asks
from fake_vllm.openai import tokenizer as tokens
from fake_vllm.openai.completions import ResponseFormat
from fake_vllm.openai.flavor import Generate, Load, Route, Unload
from fake_vllm.openai.responses import ResponseBuilder

COMPLETIONS_PATH = "/v1/completions"
CHAT_PATH = "/v1/chat/completions"
LOAD_PATH = "/v1/load_lora_adapter"
UNLOAD_PATH = "/v1/unload_lora_adapter"
MODELS_PATH = "/v1/models"
EMBEDDINGS_PATH = "/v1/embeddings"

_CHANGES = (LOAD_PATH, UNLOAD_PATH)  # there only if the server allows runtime updating
_OPEN = ("/health", "/ping", "/version", "/load", "/metrics", "/openapi.json")  # never ask for the key
_FORM = ResponseFormat(ResponseBuilder, asks.checked)
_PLAINLY: Mapping[str, str] = {**JSON, "x-tokenizer": tokens.NAME}


class VllmServer:
    """vLLM's dialect."""

    def route(self, engine: Engine, path: str) -> Route | None:
        if path in _CHANGES and not engine.config.runtime_updating:
            return None
        if path == EMBEDDINGS_PATH and not engine.config.quirks.embeddings_route:
            return None
        return _ROUTES.get(path)

    def guarded(self, engine: Engine, path: str) -> bool:
        if path.startswith("/v1"):
            return True
        everywhere = engine.config.quirks.guards_all_routes
        return everywhere and path not in _OPEN and self.route(engine, path) is not None

    def invalid(self, engine: Engine, invalid: Invalid) -> Response:
        return error(engine.config.quirks.validation_status, "BadRequestError", str(invalid), invalid.param)

    def failed(self, fault: EngineError) -> Response:
        return error(fault.status, fault.type, fault.message, fault.param)

    def changed(self, engine: Engine, change: Load | Unload) -> Response:  # noqa: ARG002 - as in other dialects
        done = "added" if isinstance(change, Load) else "removed"
        said = f"Success: LoRA adapter '{change.name}' {done} successfully."
        return Response(200, {}, said.encode())  # bare text, to which vLLM gives no content type

    def not_changed(self, engine: Engine, change: Load | Unload, fault: EngineError) -> Response:  # noqa: ARG002
        return self.failed(fault)


# What each route does


def models(engine: Engine, request: Request) -> Response:  # noqa: ARG001 - of one kind with the others
    return Response(200, JSON, engine.models_body())


def health(engine: Engine, request: Request) -> Response:  # noqa: ARG001
    return Response(200 if engine.healthy else 503, {}, b"")


def metrics(engine: Engine, request: Request) -> Response:  # noqa: ARG001
    return Response(200, METRICS, engine.metrics_page().encode())


def _version(engine: Engine, request: Request) -> Response:  # noqa: ARG001
    return encoded(200, {"version": engine.config.version})


def _server_load(engine: Engine, request: Request) -> Response:  # noqa: ARG001
    batch = engine.runner.scheduler
    return encoded(200, {"server_load": len(batch.running) + len(batch.waiting)})


def _embeddings(engine: Engine, request: Request) -> Response:  # noqa: ARG001
    request.content()
    return error(400, "BadRequestError", "The model does not support Embeddings API")


def _completion(engine: Engine, request: Request) -> Generate:  # noqa: ARG001
    return Generate(asks.completion(request.content()), _FORM, request.headers.get("x-request-id", ""))


def _chat(engine: Engine, request: Request) -> Generate:  # noqa: ARG001
    return Generate(asks.chat(request.content()), _FORM, request.headers.get("x-request-id", ""))


def _described(engine: Engine, request: Request) -> Response:  # noqa: ARG001
    there = {path: route.methods for path in _ROUTES if (route := _VLLM.route(engine, path)) is not None}
    return encoded(200, openapi.document(there))


def _tokenize(engine: Engine, request: Request) -> Response:
    body = request.content()
    if model := optional(body, "model", string, ""):
        engine.requested_adapter(model)
    if "prompt" not in body and "messages" in body:
        text = asks.conversation(listing("messages", body["messages"])).text
    else:
        text = string("prompt", required(body, "prompt"))
    numbers = tokens.encode(text)
    shown = tokens.pieces(text) if optional(body, "return_token_strs", boolean, False) else None
    answer = {"count": len(numbers), "max_model_len": engine.config.max_model_len, "tokens": numbers}
    return encoded(200, {**answer, "token_strs": shown}, _PLAINLY)


def _detokenize(engine: Engine, request: Request) -> Response:
    body = request.content()
    if model := optional(body, "model", string, ""):
        engine.requested_adapter(model)
    numbers = wholes("tokens", listing("tokens", required(body, "tokens")))
    if numbers and not (min(numbers) >= 0 and max(numbers) < 1 << 63):
        raise Invalid("1 validation error:\n  Input should be greater than or equal to 0", "body.tokens")
    return encoded(200, {"prompt": tokens.decode(numbers)}, _PLAINLY)


def _load(engine: Engine, request: Request) -> Load:  # noqa: ARG001
    body = request.content()
    name = string("lora_name", required(body, "lora_name"))
    path = string("lora_path", required(body, "lora_path"))
    return Load(name, path, optional(body, "load_inplace", boolean, False))


def _unload(engine: Engine, request: Request) -> Unload:  # noqa: ARG001
    body = request.content()
    optional(body, "lora_int_id", integer, None)
    return Unload(string("lora_name", required(body, "lora_name")))


_ROUTES: Mapping[str, Route] = {
    MODELS_PATH: Route(("GET",), models),
    COMPLETIONS_PATH: Route(("POST",), _completion),
    CHAT_PATH: Route(("POST",), _chat),
    EMBEDDINGS_PATH: Route(("POST",), _embeddings),
    LOAD_PATH: Route(("POST",), _load),
    UNLOAD_PATH: Route(("POST",), _unload),
    "/tokenize": Route(("POST",), _tokenize),
    "/detokenize": Route(("POST",), _detokenize),
    "/health": Route(("GET",), health),
    "/ping": Route(("GET", "POST"), health),
    "/version": Route(("GET",), _version),
    "/load": Route(("GET",), _server_load),
    "/metrics": Route(("GET",), metrics),
    "/openapi.json": Route(("GET",), _described),
}
_VLLM = VllmServer()
