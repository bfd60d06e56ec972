"""What vLLM says over HTTP, as a function from request to answer that knows no sockets.

The simulated network calls this in process; `app.py` puts it on a socket. Routing, the key, the error
envelope and the validation of bodies are here, everything that takes time is in `engine.py` and `answers.py`.

An operator must tell answers apart that look alike, so the differences are kept: the 404 of a route that is
not there is not the 404 of an unknown adapter, and a success is bare text, not JSON.
"""

import hmac
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from fake_vllm import asks, tokens
from fake_vllm.answers import Work
from fake_vllm.bodies import Invalid, boolean, integer, listing, optional, read, required, string
from fake_vllm.engine import Engine, EngineFault

COMPLETIONS_PATH = "/v1/completions"
CHAT_PATH = "/v1/chat/completions"
LOAD_PATH = "/v1/load_lora_adapter"
UNLOAD_PATH = "/v1/unload_lora_adapter"
MODELS_PATH = "/v1/models"
EMBEDDINGS_PATH = "/v1/embeddings"

GENERATING = (COMPLETIONS_PATH, CHAT_PATH)
PROBED = ("/health", "/ping")

_METHODS: Mapping[str, tuple[str, ...]] = {
    MODELS_PATH: ("GET",),
    COMPLETIONS_PATH: ("POST",),
    CHAT_PATH: ("POST",),
    EMBEDDINGS_PATH: ("POST",),
    "/tokenize": ("POST",),
    "/detokenize": ("POST",),
    "/health": ("GET",),
    "/ping": ("GET", "POST"),
    "/version": ("GET",),
    "/load": ("GET",),
    "/metrics": ("GET",),
}
_CHANGES = (LOAD_PATH, UNLOAD_PATH)  # there only if the server allows runtime updating
_OPEN = ("/health", "/ping", "/version", "/load", "/metrics")  # never ask for the key
_JSON: Mapping[str, str] = {"content-type": "application/json"}
_PLAINLY: Mapping[str, str] = {**_JSON, "x-tokenizer": tokens.NAME}
_EVENTS: Mapping[str, str] = {"content-type": "text/event-stream; charset=utf-8"}
_METRICS: Mapping[str, str] = {"content-type": "text/plain; version=0.0.4; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived; header names in lower case, the path without its query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back; the transport adds the length."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Stream:
    """What goes back piece by piece. Whoever takes it closes `chunks`, so that work nobody waits for ends."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class _Load:
    name: str
    path: str
    in_place: bool


@dataclass(frozen=True, slots=True)
class _Unload:
    name: str


_Step = Response | _Load | _Unload | asks.Ask


async def respond(engine: Engine, request: Request, *, slow: float = 1.0) -> Response | Stream:
    """Answer `request`, however long that takes; `slow` multiplies the engine's time.

    Raises:
        EngineClosed: if the container dies before there is an answer: the connection is reset.
    """
    engine.check_open()
    step = _route(engine, request)
    if isinstance(step, Response):
        return step
    try:
        if isinstance(step, asks.Ask):
            return await _generate(engine, request, step, slow)
        if isinstance(step, _Load):
            await engine.load(step.name, step.path, load_inplace=step.in_place, slow=slow)
            return _text(f"Success: LoRA adapter '{step.name}' added successfully.")
        await engine.unload(step.name, slow=slow)
        return _text(f"Success: LoRA adapter '{step.name}' removed successfully.")
    except EngineFault as fault:
        return error(fault.status, fault.type, fault.message, fault.param)


def respond_now(engine: Engine, request: Request) -> Response | None:
    """Answer `request` if that needs no waiting; None if it does, and nothing has been done then."""
    step = _route(engine, request)
    return step if isinstance(step, Response) else None


def adapter_of(request: Request) -> str:
    """The adapter that a request names, whether to change it or to use it; empty if none can be read."""
    field = "lora_name" if request.path in _CHANGES else "model"
    if request.path not in (*_CHANGES, *GENERATING):
        return ""
    try:
        body = msgspec.json.decode(request.body)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return ""
    name = body.get(field) if isinstance(body, dict) else None
    return name if isinstance(name, str) else ""


def error(status: int, type: str, message: str, param: str | None = None) -> Response:
    """vLLM's error envelope."""
    return _json(status, {"error": {"message": message, "type": type, "param": param, "code": status}})


def unauthorized() -> Response:
    """What a missing or wrong key gets; it is not the usual envelope."""
    return _json(401, {"error": "Unauthorized"})


async def _generate(engine: Engine, request: Request, ask: asks.Ask, slow: float) -> Response | Stream:
    work = Work(engine, ask, request.headers.get("x-request-id", ""))
    if ask.stream:
        return Stream(200, _EVENTS, work.stream(slow))
    return Response(200, _JSON, await work.whole(slow))


def _route(engine: Engine, request: Request) -> _Step:
    path = request.path
    if engine.config.api_keys and not _authorized(engine, request):
        return unauthorized()
    methods = _methods(engine, path)
    if not methods:
        return _json(404, {"detail": "Not Found"})
    if request.method not in methods:
        allow = ", ".join(methods)
        return Response(405, {**_JSON, "allow": allow}, b'{"detail":"Method Not Allowed"}')
    try:
        return _STEPS[path](engine, request)
    except Invalid as invalid:
        return error(engine.config.behaviour.validation_status, "BadRequestError", str(invalid), invalid.param)
    except EngineFault as fault:
        return error(fault.status, fault.type, fault.message, fault.param)


def _methods(engine: Engine, path: str) -> tuple[str, ...]:
    """The methods that a path takes; none if the server has no such route."""
    if path in _CHANGES:
        return ("POST",) if engine.config.runtime_updating else ()
    if path == EMBEDDINGS_PATH and not engine.config.behaviour.embeddings_route:
        return ()
    return _METHODS.get(path, ())


def _authorized(engine: Engine, request: Request) -> bool:
    if request.method == "OPTIONS" or not _guarded(engine, request.path):
        return True
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return False
    return any(hmac.compare_digest(given.encode(), key.encode()) for key in engine.config.api_keys)


def _guarded(engine: Engine, path: str) -> bool:
    if path.startswith("/v1"):
        return True
    return engine.config.behaviour.guards_all_routes and path not in _OPEN and bool(_methods(engine, path))


# What each route does


def _models(engine: Engine, request: Request) -> Response:  # noqa: ARG001 - of one kind with the others
    return Response(200, _JSON, engine.models_body())


def _health(engine: Engine, request: Request) -> Response:  # noqa: ARG001
    return Response(200 if engine.healthy else 503, {}, b"")


def _version(engine: Engine, request: Request) -> Response:  # noqa: ARG001
    return _json(200, {"version": engine.config.version})


def _server_load(engine: Engine, request: Request) -> Response:  # noqa: ARG001
    batch = engine.generation.batch
    return _json(200, {"server_load": len(batch.running) + len(batch.waiting)})


def _metrics(engine: Engine, request: Request) -> Response:  # noqa: ARG001
    return Response(200, _METRICS, engine.metrics_page().encode())


def _embeddings(engine: Engine, request: Request) -> Response:  # noqa: ARG001
    _object(request)
    return error(400, "BadRequestError", "The model does not support Embeddings API")


def _completion(engine: Engine, request: Request) -> asks.Ask:  # noqa: ARG001
    return asks.completion(_object(request))


def _chat(engine: Engine, request: Request) -> asks.Ask:  # noqa: ARG001
    return asks.chat(_object(request))


def _tokenize(engine: Engine, request: Request) -> Response:
    body = _object(request)
    _check_model(engine, body)
    if "prompt" not in body and "messages" in body:
        text = asks.conversation(listing("messages", body["messages"])).text
    else:
        text = string("prompt", required(body, "prompt"))
    numbers = tokens.encode(text)
    shown = tokens.pieces(text) if optional(body, "return_token_strs", boolean, False) else None
    answer = {"count": len(numbers), "max_model_len": engine.config.max_model_len, "tokens": numbers}
    return Response(200, _PLAINLY, msgspec.json.encode({**answer, "token_strs": shown}))


def _detokenize(engine: Engine, request: Request) -> Response:
    body = _object(request)
    _check_model(engine, body)
    numbers = [integer("tokens", each) for each in listing("tokens", required(body, "tokens"))]
    if any(not 0 <= each < 1 << 63 for each in numbers):
        raise Invalid("1 validation error:\n  Input should be greater than or equal to 0", "body.tokens")
    return Response(200, _PLAINLY, msgspec.json.encode({"prompt": tokens.decode(numbers)}))


def _load(engine: Engine, request: Request) -> _Load:  # noqa: ARG001
    body = _object(request)
    name = string("lora_name", required(body, "lora_name"))
    path = string("lora_path", required(body, "lora_path"))
    return _Load(name, path, optional(body, "load_inplace", boolean, False))


def _unload(engine: Engine, request: Request) -> _Unload:  # noqa: ARG001
    body = _object(request)
    optional(body, "lora_int_id", integer, None)
    return _Unload(string("lora_name", required(body, "lora_name")))


_STEPS: Mapping[str, Callable[[Engine, Request], _Step]] = {
    MODELS_PATH: _models,
    COMPLETIONS_PATH: _completion,
    CHAT_PATH: _chat,
    EMBEDDINGS_PATH: _embeddings,
    LOAD_PATH: _load,
    UNLOAD_PATH: _unload,
    "/tokenize": _tokenize,
    "/detokenize": _detokenize,
    "/health": _health,
    "/ping": _health,
    "/version": _version,
    "/load": _server_load,
    "/metrics": _metrics,
}


def _check_model(engine: Engine, body: dict[str, Any]) -> None:
    if model := optional(body, "model", string, ""):
        engine.adapter_of(model)


def _object(request: Request) -> dict[str, Any]:
    return read(request.headers.get("content-type", ""), request.body)


def _json(status: int, content: object) -> Response:
    return Response(status, _JSON, msgspec.json.encode(content))


def _text(content: str) -> Response:
    """Bare text; vLLM gives it no content type."""
    return Response(200, {}, content.encode())
