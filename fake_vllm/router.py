"""Requests to responses, without sockets: the API key, the route, and the engine's work.

The simulated network calls `handle` in process. On sockets FastAPI finds the route (`server/api.py`) and calls `run`.
"""

import hmac
from collections.abc import Mapping
from functools import cache
from urllib.parse import quote

import msgspec

from fake_vllm.engine.engine import Engine, EngineError
from fake_vllm.http.messages import (
    EVENTS,
    JSON,
    Request,
    Response,
    Stream,
    error_response,
    json_response,
    unauthorized,
)
from fake_vllm.http.paths import (
    CHANGES,
    COMPLETIONS_PATH,
    GENERATING,
    LOAD_PATH,
    LOADING,
    MODELS_PATH,
    PROBED,
    SGLANG_LOAD_PATH,
    SGLANG_UNLOAD_PATH,
    UNLOAD_PATH,
)
from fake_vllm.http.validation import RequestValidationError
from fake_vllm.openai.completions import CompletionTask, GenerationPlan
from fake_vllm.openai.flavor import Load, Perform, Route, ServerFlavor, Step
from fake_vllm.vllm.errors import CALL_FAILED
from fake_vllm.vllm.routes import VllmServer

__all__ = [
    "CHANGES",
    "COMPLETIONS_PATH",
    "GENERATING",
    "LOADING",
    "LOAD_PATH",
    "MODELS_PATH",
    "PROBED",
    "SGLANG_LOAD_PATH",
    "SGLANG_UNLOAD_PATH",
    "UNLOAD_PATH",
    "Request",
    "Response",
    "Stream",
    "authorize",
    "error_response",
    "find_route",
    "handle",
    "handle_immediate",
    "load_error",
    "method_not_allowed",
    "not_found",
    "requested_adapter",
    "routes",
    "run",
    "split_root",
    "unauthorized",
]

_DOCUMENTS = ("/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect")  # FastAPI's own paths

_OF_DOCUMENTS = ("GET", "HEAD")
"""Methods of these paths."""

_VLLM = VllmServer()


async def handle(engine: Engine, request: Request, *, slow: float = 1.0) -> Response | Stream:
    """Return the response to `request`; `slow` multiplies the engine's time.

    Raises:
        EngineClosed: if the container stops first; the client sees a connection reset.
    """
    engine.ensure_open()
    route = _authorized_route(engine, request)
    return route if isinstance(route, Response) else await run(engine, route, request, slow=slow)


async def run(engine: Engine, route: Route, request: Request, *, slow: float = 1.0) -> Response | Stream:
    """Return the response of a route; `slow` multiplies the engine's time.

    Raises:
        EngineClosed: if the container stops first.
    """
    engine.ensure_open()
    flavor = _flavor(engine)
    step = _step(flavor, engine, route, request)
    if isinstance(step, Response | Stream):
        return step
    if isinstance(step, GenerationPlan | Perform):
        try:
            return await (step.action() if isinstance(step, Perform) else _generate(engine, step, slow))
        except EngineError as error:
            if isinstance(step, GenerationPlan) and step.failed:
                return step.failed(error)
            return flavor.failed(engine, error)
    try:
        if isinstance(step, Load):
            await engine.load(step.name, step.path, load_inplace=step.in_place, slow=slow)
        else:
            await engine.unload(step.name, slow=slow)
    except EngineError as error:
        return flavor.change_failed(engine, step, error)
    return flavor.changed(engine, step)


def handle_immediate(engine: Engine, request: Request) -> Response | None:
    """Return the response if it needs no waiting, else None; nothing was done then."""
    route = _authorized_route(engine, request)
    if isinstance(route, Response):
        return route
    step = _step(_flavor(engine), engine, route, request)
    return step if isinstance(step, Response) else None


def routes(engine: Engine) -> Mapping[str, Route]:
    """Return the server's routes by path."""
    return _flavor(engine).routes(engine)


def authorize(engine: Engine, request: Request) -> Response | None:
    """Return the refusal of a request without a valid API key, None if the request may pass."""
    if not engine.config.api_keys or request.method == "OPTIONS":
        return None
    if not _flavor(engine).requires_key(engine, request.path):
        return None
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    valid = scheme.lower() == "bearer" and any(
        hmac.compare_digest(token.encode(), key.encode()) for key in engine.config.api_keys
    )
    return None if valid else unauthorized()


def split_root(engine: Engine, path: str) -> tuple[str, str]:
    """Return `--root-path`, if it stands before a path, and the rest of the path."""
    root = engine.config.server.root_path
    return (root, path[len(root) :]) if root and path.startswith(f"{root}/") else ("", path)


def requested_adapter(request: Request) -> str:
    """Return the adapter that a request loads, unloads or uses; otherwise an empty string."""
    if request.path not in (*CHANGES, *GENERATING):
        return ""
    try:
        body = msgspec.json.decode(request.body)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return ""
    if not isinstance(body, dict):
        return ""
    name = body.get("lora_name") if request.path in CHANGES else body.get("lora_path") or body.get("model")
    return name if isinstance(name, str) else ""


def load_error(path: str, message: str) -> Response:
    """Return the response of a load route, of either flavor, to a load that failed with `message`."""
    if path == SGLANG_LOAD_PATH:
        from fake_vllm.sglang.routes import lora_update_output

        return json_response(400, lora_update_output(message, None))
    return error_response(500, "InternalServerError", f"{CALL_FAILED}{message}")


def not_found() -> Response:
    """Return the response to a path without a route."""
    return json_response(404, {"detail": "Not Found"})


def method_not_allowed(route: Route) -> Response:
    """Return the response to a method that the route does not have.

    Each method of a path is a route of its own, and the first one answers.
    """
    return _method_not_allowed(route.methods[0])


def _method_not_allowed(allowed: str) -> Response:
    return json_response(405, {"detail": "Method Not Allowed"}, {**JSON, "allow": allowed})


def find_route(engine: Engine, request: Request) -> Route | Response:
    """Return the route of a request that needs no key or has one, or the refusal of a request that has no route."""
    flavor = _flavor(engine)
    route = flavor.route(engine, request.path)
    if route is not None:
        return route if route.any_method or request.method in route.methods else method_not_allowed(route)
    if request.path in _DOCUMENTS and engine.config.server.documents and request.method not in _OF_DOCUMENTS:
        return _method_not_allowed(", ".join(_OF_DOCUMENTS))
    path = request.path.rstrip("/") if request.path.endswith("/") else f"{request.path}/"
    if flavor.route(engine, path) is not None or (path in _DOCUMENTS and engine.config.server.documents):
        return _redirect(request, path)
    return not_found()


def _flavor(engine: Engine) -> ServerFlavor:
    return _VLLM if engine.config.dialect == "vllm" else _sglang()


@cache
def _sglang() -> ServerFlavor:
    from fake_vllm.sglang.routes import SglangServer  # its request models take a while to import

    return SglangServer()


def _redirect(request: Request, path: str) -> Response:
    """Return the redirect to the path without its trailing slash, as Starlette's router does."""
    query = f"?{request.query}" if request.query else ""
    url = f"http://{request.headers.get('host', '')}{request.root}{path}{query}"
    return Response(307, {"location": quote(url, safe=":/%#?=@[]!$&'()*+,;")}, b"")


def _authorized_route(engine: Engine, request: Request) -> Route | Response:
    """Return the route, or the response to a request that gets to none."""
    if engine.config.api_keys and (refusal := authorize(engine, request)) is not None:
        return refusal
    return find_route(engine, request)


def _step(flavor: ServerFlavor, engine: Engine, route: Route, request: Request) -> Step:
    try:
        return route.step(engine, request)
    except RequestValidationError as error:
        return flavor.invalid(engine, error)
    except EngineError as error:
        return flavor.failed(engine, error)


async def _generate(engine: Engine, plan: GenerationPlan, slow: float) -> Response | Stream:
    await engine.reload_evicted(plan.model, slow=slow)
    task = CompletionTask(engine, plan)
    try:
        weights = task.weight_headers()
    except EngineError as error:
        if not task.streams:
            raise
        return Stream(200, EVENTS, task.failed(error))
    if task.streams:
        return Stream(200, {**EVENTS, **weights}, task.stream(slow))
    return Response(200, {**JSON, **weights}, await task.complete(slow))
