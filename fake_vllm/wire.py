"""What vLLM says over HTTP, as a pure function from request to response.

The simulated network calls this in process; `app.py` puts it on a socket. Routing, the key, the error
envelope and the validation of bodies are here, everything that takes time is in `engine.py`.

An operator must tell answers apart that look alike, so the differences are kept: the 404 of a route that is
not there is not the 404 of an unknown adapter, and a success is bare text, not JSON.
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fake_vllm.engine import Engine, EngineFault

LOAD_PATH = "/v1/load_lora_adapter"
UNLOAD_PATH = "/v1/unload_lora_adapter"
MODELS_PATH = "/v1/models"

_METHODS: Mapping[str, tuple[str, ...]] = {
    MODELS_PATH: ("GET",),
    "/health": ("GET",),
    "/ping": ("GET", "POST"),
    "/version": ("GET",),
}
_CHANGES = (LOAD_PATH, UNLOAD_PATH)  # there only if the server allows runtime updating
_OPEN = ("/health", "/ping", "/version")  # never ask for the key
_JSON: Mapping[str, str] = {"content-type": "application/json"}
_TRUTH: Mapping[Any, bool] = {True: True, False: False, "true": True, "false": False, "1": True, "0": False}


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
class _Load:
    name: str
    path: str
    in_place: bool


@dataclass(frozen=True, slots=True)
class _Unload:
    name: str


class _Invalid(Exception):
    """The body is not what the route takes."""


async def respond(engine: Engine, request: Request, *, slow: float = 1.0) -> Response:
    """Answer `request`, however long that takes; `slow` multiplies the engine's time.

    Raises:
        EngineClosed: if the container dies before there is an answer: the connection is reset.
    """
    step = _route(engine, request)
    if isinstance(step, Response):
        return step
    try:
        if isinstance(step, _Load):
            await engine.load(step.name, step.path, load_inplace=step.in_place, slow=slow)
            return _text(f"Success: LoRA adapter '{step.name}' added successfully.")
        await engine.unload(step.name, slow=slow)
        return _text(f"Success: LoRA adapter '{step.name}' removed successfully.")
    except EngineFault as fault:
        return error(fault.status, fault.type, fault.message)


def respond_now(engine: Engine, request: Request) -> Response | None:
    """Answer `request` if that needs no waiting; None if it does, and nothing has been done then."""
    step = _route(engine, request)
    return step if isinstance(step, Response) else None


def adapter_of(request: Request) -> str:
    """The adapter that a load or unload names; empty for other requests and for bodies that cannot be read."""
    if request.path not in _CHANGES:
        return ""
    try:
        body = json.loads(request.body)
    except ValueError:
        return ""
    name = body.get("lora_name") if isinstance(body, dict) else None
    return name if isinstance(name, str) else ""


def error(status: int, type: str, message: str, param: str | None = None) -> Response:
    """vLLM's error envelope."""
    return _json(status, {"error": {"message": message, "type": type, "param": param, "code": status}})


def unauthorized() -> Response:
    """What a missing or wrong key gets; it is not the usual envelope."""
    return _json(401, {"error": "Unauthorized"})


def _route(engine: Engine, request: Request) -> Response | _Load | _Unload:
    path = request.path
    if engine.config.api_keys and not _authorized(engine, request):
        return unauthorized()
    methods = _methods(engine, path)
    if not methods:
        return _json(404, {"detail": "Not Found"})
    if request.method not in methods:
        allow = ", ".join(methods)
        return Response(405, {**_JSON, "allow": allow}, b'{"detail":"Method Not Allowed"}')
    if path == MODELS_PATH:
        return Response(200, _JSON, engine.models_body())
    if path in _CHANGES:
        try:
            return _load(request) if path == LOAD_PATH else _unload(request)
        except _Invalid as invalid:
            return error(engine.config.behaviour.validation_status, "BadRequestError", str(invalid))
    if path == "/version":
        return _json(200, {"version": engine.config.version})
    return Response(200 if engine.healthy else 503, {}, b"")


def _methods(engine: Engine, path: str) -> tuple[str, ...]:
    """The methods that a path takes; none if the server has no such route."""
    if path in _CHANGES:
        return ("POST",) if engine.config.runtime_updating else ()
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


def _load(request: Request) -> _Load:
    body = _object(request)
    name = _string(body, "lora_name")
    path = _string(body, "lora_path")
    in_place = body.get("load_inplace", False)
    if not isinstance(in_place, bool | int | str) or in_place not in _TRUTH:
        raise _Invalid("1 validation error: body.load_inplace: Input should be a valid boolean")
    return _Load(name, path, _TRUTH[in_place])


def _unload(request: Request) -> _Unload:
    body = _object(request)
    number = body.get("lora_int_id")
    if number is not None and not isinstance(number, int):
        raise _Invalid("1 validation error: body.lora_int_id: Input should be a valid integer")
    return _Unload(_string(body, "lora_name"))


def _object(request: Request) -> dict[str, Any]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise _Invalid("1 validation error: Unsupported Media Type: Only 'application/json' is allowed")
    try:
        body = json.loads(request.body)
    except ValueError as failure:
        raise _Invalid(f"1 validation error: body: JSON decode error: {failure}") from failure
    if not isinstance(body, dict):
        raise _Invalid("1 validation error: body: Input should be a valid dictionary or object to extract fields from")
    return body


def _string(body: Mapping[str, Any], name: str) -> str:
    if name not in body:
        raise _Invalid(f"1 validation error: body.{name}: Field required")
    value = body[name]
    if not isinstance(value, str):
        raise _Invalid(f"1 validation error: body.{name}: Input should be a valid string")
    return value


def _json(status: int, content: object) -> Response:
    return Response(status, _JSON, json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode())


def _text(content: str) -> Response:
    """Bare text; vLLM gives it no content type."""
    return Response(200, {}, content.encode())
