"""Routes of vLLM's development mode: sleeping, pausing, caches and weights (`VLLM_SERVER_DEV_MODE=1`).

See vllm/entrypoints/serve/dev and vllm/entrypoints/rl/online.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, Field

from fake_vllm.engine.control import PauseMode
from fake_vllm.engine.engine import Engine, EngineError
from fake_vllm.http.messages import Request, Response, json_response
from fake_vllm.http.queries import parse_query, values_of
from fake_vllm.http.validation import RequestValidationError
from fake_vllm.openai.flavor import Perform, Route, Step
from fake_vllm.vllm.endpoints import NotAnObjectError, bad_request, json_body

_EMPTY = Response(200, {}, b"")
_MODES = get_args(PauseMode)
M = TypeVar("M", bound=BaseModel)


class _Sleep(BaseModel):
    level: Annotated[int, Field(ge=0, le=2)] = 1
    mode: PauseMode = "abort"


class _Pause(BaseModel):
    mode: PauseMode = "abort"
    clear_cache: bool = True


class _ResetPrefixCache(BaseModel):
    reset_running_requests: bool = False
    reset_external: bool = False


class _WorldSize(BaseModel):
    include_dp: bool = True


class _ServerInfo(BaseModel):
    config_format: Literal["text", "json"] = "text"


class _WeightVersion(BaseModel):
    new_version: str


class _InitWeightTransfer(BaseModel):
    init_info: dict[str, Any]


class _UpdateWeights(BaseModel):
    update_info: dict[str, Any]


class _WeightChecker(BaseModel):
    action: Literal["checksum", "reset", "compare"]
    baseline: dict[str, str] | None = None


def _sleep(engine: Engine, request: Request) -> Step:
    checks = engine.config.quirks.checks_development
    query = parse_query(_Sleep, request.query) if checks else _unchecked_sleep(request.query)

    async def act() -> Response:
        started = engine.now()
        await engine.control.sleep(query.level, query.mode)
        engine.runner.metrics.on_sleep_operation("sleep", engine.now() - started)
        return json_response(200, {"status": "sleeping", "level": query.level}) if checks else _EMPTY

    return Perform(act)


def _unchecked_sleep(query: str) -> _Sleep:
    """Return the query of an older release, which takes every number.

    Raises:
        EngineError: if the level is not a number, or the mode does not exist.
    """
    level, mode = (values_of(query, name) for name in ("level", "mode"))
    try:
        number = int(level[-1]) if level else 1
    except ValueError as error:
        raise EngineError(400, "BadRequestError", str(error)) from None
    if mode and mode[-1] not in _MODES:
        raise _call_failed("sleep", f"Invalid pause mode: {mode[-1]}".strip())
    return _Sleep.model_construct(level=number, mode=mode[-1] if mode else "abort")


def _wake_up(engine: Engine, request: Request) -> Response:
    engine.control.wake_up()
    engine.runner.metrics.on_sleep_operation("wake", 0.0)
    if not engine.config.quirks.checks_development:
        return _EMPTY
    return json_response(200, {"status": "awake", "tags": values_of(request.query, "tags") or None})


def _is_sleeping(engine: Engine, request: Request) -> Response:
    return json_response(200, {"is_sleeping": engine.control.sleeping})


def _release_kv_cache(engine: Engine, request: Request) -> Response:
    engine.runner.metrics.on_sleep_operation("release_kv_cache_memory", 0.0)
    if not engine.control.paused:
        raise _call_failed("release_kv_cache_memory", "release_kv_cache_memory() requires a completed pause first")
    return json_response(200, {"status": "kv_cache_released"})


def _pause(engine: Engine, request: Request) -> Step:
    query = parse_query(_Pause, request.query)

    async def act() -> Response:
        await engine.control.pause(query.mode)
        return json_response(200, {"status": "paused"})

    return Perform(act)


def _resume(engine: Engine, request: Request) -> Response:
    engine.control.resume()
    return json_response(200, {"status": "resumed"})


def _is_paused(engine: Engine, request: Request) -> Response:
    return json_response(200, {"is_paused": engine.control.paused})


def _abort_requests(engine: Engine, request: Request) -> Response:
    """Abort all requests. Requests that are named are unknown here, as ids of clients are not kept."""
    body = _object(engine, request, "Invalid JSON format")
    if named := body.get("request_ids"):
        return json_response(200, {"status": "aborted", "aborted": len(named)})
    scheduler = engine.runner.scheduler
    sequences = (*scheduler.running, *scheduler.waiting)
    for sequence in sequences:
        scheduler.abort(sequence)
    return json_response(200, {"status": "aborted", "aborted": len(sequences)})


def _reset_prefix_cache(engine: Engine, request: Request) -> Response:
    query = parse_query(_ResetPrefixCache, request.query)
    success = engine.runner.reset_prefix_cache(preempt=query.reset_running_requests)
    return json_response(200, {"success": success}) if engine.config.quirks.reset_tells else _EMPTY


def _done(engine: Engine, request: Request) -> Response:
    return _EMPTY


def _collective_rpc(engine: Engine, request: Request) -> Response:
    body = _object(engine, request, "JSON decode error: {error}")
    if body.get("method") is None:
        raise bad_request("Missing 'method' in request body")
    cause = f"'CPUWorker' object has no attribute '{body['method']}'"
    raise _worker_failed(repr(cause))


def _weight_info(engine: Engine, request: Request) -> Response:
    return json_response(200, {"weight_version": engine.control.weight_version})


def _update_weight_version(engine: Engine, request: Request) -> Response:
    engine.control.weight_version = _parse_fields(request, _WeightVersion).new_version
    return json_response(200, {"success": True, "new_version": engine.control.weight_version})


def _world_size(engine: Engine, request: Request) -> Response:
    parse_query(_WorldSize, request.query)
    return json_response(200, {"world_size": 1})


def _server_info(engine: Engine, request: Request) -> Response:
    """Return the parts of the configuration that the fake has."""
    query = parse_query(_ServerInfo, request.query)
    config = engine.config
    values = {
        "model": config.model,
        "max_model_len": config.max_model_len,
        "served_model_name": config.served_model_names,
    }
    text = ", ".join(f"{name}={value!r}" for name, value in values.items())
    content = values if query.config_format == "json" else text
    return json_response(200, {"vllm_config": content, "vllm_env": {}, "system_env": {}})


def _weights_unavailable(engine: Engine, request: Request) -> Response:
    raise _worker_failed("Weight transfer not configured. Please set weight_transfer_config to enable weight transfer.")


def _init_weight_transfer(engine: Engine, request: Request) -> Response:
    _check_field(engine, request, _InitWeightTransfer, "init_info")
    return _weights_unavailable(engine, request)


def _update_weights(engine: Engine, request: Request) -> Response:
    _check_field(engine, request, _UpdateWeights, "update_info")
    return _weights_unavailable(engine, request)


def _parse_fields(request: Request, model: type[M]) -> M:
    """Return a body whose fields are parameters of the route, where the input of a missing one is null.

    Raises:
        RequestValidationError: if the body does not fit.
    """
    try:
        return request.parse(model)
    except RequestValidationError as error:
        missing = [dict(item) for item in error.errors if isinstance(item, dict) and item["type"] == "missing"]
        if len(missing) != len(error.errors):
            raise
        raise RequestValidationError([{**item, "input": None} for item in missing]) from None


def _check_field(engine: Engine, request: Request, model: type[BaseModel], name: str) -> None:
    """Check a body; an older release checks only that it has the field."""
    if engine.config.quirks.checks_development:
        _parse_fields(request, model)
    elif _object(engine, request, "Invalid JSON format").get(name) is None:
        raise bad_request(f"Missing '{name}' in request body")


def _object(engine: Engine, request: Request, message: str) -> dict[str, Any]:
    """Return the JSON object in a body.

    Raises:
        EngineError: if it has none; an older release fails with Python's error on other JSON.
    """
    try:
        return json_body(request, message)
    except NotAnObjectError as error:
        if engine.config.quirks.checks_development:
            raise
        cause = f"'{error.kind}' object has no attribute 'get'"
        raise EngineError(500, "InternalServerError", cause, exception="other") from None


def _weight_checker(engine: Engine, request: Request) -> Response:
    body = _parse_fields(request, _WeightChecker)
    if body.action == "compare" and body.baseline is None:
        raise bad_request("action='compare' requires a 'baseline' object")
    if body.action == "reset":
        return json_response(200, {"status": "reset"})
    return json_response(200, {"match": True, "mismatches": []} if body.action == "compare" else {"checksums": {}})


def _worker_failed(cause: str) -> EngineError:
    """Return the error of a method of the worker that raised an exception."""
    text = f"Worker failed with error '{cause}', please check the stack trace above for the root cause"
    return _call_failed("collective_rpc", text)


def _call_failed(method: str, cause: str) -> EngineError:
    """Return the error of a call to the engine's core that failed there."""
    return EngineError(500, "InternalServerError", f"Call to {method} method failed: {cause}", exception="other")


def _post(step: Callable[[Engine, Request], Step]) -> Route:
    return Route(("POST",), step)


def _get(step: Callable[[Engine, Request], Step]) -> Route:
    return Route(("GET",), step)


DEVELOPMENT_ROUTES: Mapping[str, tuple[Route, tuple[int, ...]]] = {
    "/sleep": (_post(_sleep), (0, 7)),
    "/wake_up": (_post(_wake_up), (0, 7)),
    "/is_sleeping": (_get(_is_sleeping), (0, 7)),
    "/reset_prefix_cache": (_post(_reset_prefix_cache), (0, 7)),
    "/reset_mm_cache": (_post(_done), (0, 10)),
    "/reset_encoder_cache": (_post(_done), (0, 16)),
    "/collective_rpc": (_post(_collective_rpc), (0, 10)),
    "/server_info": (_get(_server_info), (0, 10)),
    "/pause": (_post(_pause), (0, 16)),
    "/resume": (_post(_resume), (0, 16)),
    "/is_paused": (_get(_is_paused), (0, 16)),
    "/get_world_size": (_get(_world_size), (0, 16)),
    "/init_weight_transfer_engine": (_post(_init_weight_transfer), (0, 16)),
    "/update_weights": (_post(_update_weights), (0, 16)),
    "/start_weight_update": (_post(_weights_unavailable), (0, 24)),
    "/finish_weight_update": (_post(_weights_unavailable), (0, 24)),
    "/abort_requests": (_post(_abort_requests), (0, 27)),
    "/start_draft_weight_update": (_post(_weights_unavailable), (0, 27)),
    "/update_weight_version": (_post(_update_weight_version), (0, 27)),
    "/weight_info": (_get(_weight_info), (0, 27)),
    "/release_kv_cache_memory": (_post(_release_kv_cache), (0, 32)),
    "/shutdown_weight_transfer_engine": (_post(_weights_unavailable), (0, 32)),
    "/weight_checker": (_post(_weight_checker), (0, 32)),
}
"""Routes by path, and the first release that has each; from 0.24 to 0.32 read in source, before that assumed."""
