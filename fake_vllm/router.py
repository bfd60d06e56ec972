"""What a server says over HTTP, as a function from request to answer that knows no sockets.

The simulated network calls this in process; `app.py` puts it on a socket. The key, the method and the order of checks
are here; what each path does, and how, says the engine's dialect (`routes.py`, `sglang/routes.py`).
"""

import hmac
from collections.abc import Mapping

import msgspec

from fake_vllm.engine.engine import Engine, EngineError
from fake_vllm.http.messages import EVENTS, JSON, Request, Response, Stream, encoded, error, unauthorized
from fake_vllm.http.validation import Invalid
from fake_vllm.openai.completions import CompletionTask
from fake_vllm.openai.flavor import Generate, Load, ServerFlavor, Step
from fake_vllm.sglang.routes import GENERATE_PATH as SGLANG_GENERATE_PATH
from fake_vllm.sglang.routes import LOAD_PATH as SGLANG_LOAD_PATH
from fake_vllm.sglang.routes import UNLOAD_PATH as SGLANG_UNLOAD_PATH
from fake_vllm.sglang.routes import SglangServer
from fake_vllm.sglang.routes import outcome as sglang_outcome
from fake_vllm.vllm.routes import CHAT_PATH, COMPLETIONS_PATH, LOAD_PATH, MODELS_PATH, UNLOAD_PATH, VllmServer

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
    "error",
    "handle",
    "handle_immediate",
    "load_error",
    "requested_adapter",
    "unauthorized",
]

GENERATING = (COMPLETIONS_PATH, CHAT_PATH, SGLANG_GENERATE_PATH)
LOADING = (LOAD_PATH, SGLANG_LOAD_PATH)
PROBED = ("/health", "/ping", "/health_generate")
CHANGES = (*LOADING, UNLOAD_PATH, SGLANG_UNLOAD_PATH)

_FLAVORS: Mapping[str, ServerFlavor] = {"vllm": VllmServer(), "sglang": SglangServer()}


async def handle(engine: Engine, request: Request, *, slow: float = 1.0) -> Response | Stream:
    """Answer `request`, however long that takes; `slow` multiplies the engine's time.

    Raises:
        EngineClosed: if the container dies before there is an answer: the connection is reset.
    """
    engine.ensure_open()
    dialect = _FLAVORS[engine.config.dialect]
    step = _route(dialect, engine, request)
    if isinstance(step, Response):
        return step
    if isinstance(step, Generate):
        try:
            return await _generate(engine, step, slow)
        except EngineError as fault:
            return dialect.failed(fault)
    try:
        if isinstance(step, Load):
            await engine.load(step.name, step.path, load_inplace=step.in_place, slow=slow)
        else:
            await engine.unload(step.name, slow=slow)
    except EngineError as fault:
        return dialect.not_changed(engine, step, fault)
    return dialect.changed(engine, step)


def handle_immediate(engine: Engine, request: Request) -> Response | None:
    """Answer `request` if that needs no waiting; None if it does, and nothing has been done then."""
    step = _route(_FLAVORS[engine.config.dialect], engine, request)
    return step if isinstance(step, Response) else None


def requested_adapter(request: Request) -> str:
    """The adapter that a request names, whether to change it or to use it; empty if none can be read."""
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
    """What the load path of either dialect answers if the engine says `message`."""
    if path == SGLANG_LOAD_PATH:
        return encoded(400, sglang_outcome(message, None))
    return error(500, "InternalServerError", message)


async def _generate(engine: Engine, wanted: Generate, slow: float) -> Response | Stream:
    await engine.reload_evicted(wanted.ask.model, slow=slow)
    work = CompletionTask(engine, wanted.ask, wanted.form, wanted.request_id)
    if wanted.ask.stream:
        return Stream(200, EVENTS, work.stream(slow))
    return Response(200, JSON, await work.whole(slow))


def _route(dialect: ServerFlavor, engine: Engine, request: Request) -> Step:
    path = request.path
    if engine.config.api_keys and not _authorized(dialect, engine, request):
        return unauthorized()
    route = dialect.route(engine, path)
    if route is None:
        return encoded(404, {"detail": "Not Found"})
    if request.method not in route.methods:
        return encoded(405, {"detail": "Method Not Allowed"}, {**JSON, "allow": ", ".join(route.methods)})
    try:
        return route.step(engine, request)
    except Invalid as invalid:
        return dialect.invalid(engine, invalid)
    except EngineError as fault:
        return dialect.failed(fault)


def _authorized(dialect: ServerFlavor, engine: Engine, request: Request) -> bool:
    if request.method == "OPTIONS" or not dialect.guarded(engine, request.path):
        return True
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return False
    return any(hmac.compare_digest(given.encode(), key.encode()) for key in engine.config.api_keys)
