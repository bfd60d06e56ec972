"""SGLang's routes: entrypoints/http_server.py. Adapters can always be loaded; there is no `/v1` before these paths."""

from collections.abc import Mapping
from typing import Any

from fake_vllm.engine.engine import Engine, EngineError
from fake_vllm.http import openapi
from fake_vllm.http.messages import Request, Response, encoded
from fake_vllm.http.validation import Invalid, boolean, optional, required, string
from fake_vllm.openai.completions import ResponseFormat
from fake_vllm.openai.flavor import Generate, Load, Route, Unload
from fake_vllm.openai.requests import GenerateRequest
from fake_vllm.sglang import requests
from fake_vllm.sglang.errors import refused
from fake_vllm.sglang.responses import GenerateResponseBuilder, SglangResponseBuilder, error
from fake_vllm.vllm import routes as vllm

LOAD_PATH = "/load_lora_adapter"
UNLOAD_PATH = "/unload_lora_adapter"
GENERATE_PATH = "/generate"

_OPEN = ("/health", "/metrics")  # what begins with these never asks for the key
_OPENAI, _NATIVE = (
    ResponseFormat(SglangResponseBuilder, requests.checked),
    ResponseFormat(GenerateResponseBuilder, requests.checked),
)
_FLUSHED = (
    "Cache flushed.\nPlease check backend logs for more details. (When there are running or waiting requests, the"
    " operation will not be performed.)\n"
)


class SglangServer:
    """SGLang's dialect."""

    def route(self, engine: Engine, path: str) -> Route | None:
        if path == "/metrics" and not engine.config.metrics:
            return None
        return _ROUTES.get(path)

    def guarded(self, engine: Engine, path: str) -> bool:  # noqa: ARG002 - routes that are not there ask as well
        return not path.startswith(_OPEN)

    def invalid(self, engine: Engine, invalid: Invalid) -> Response:
        status = engine.config.quirks.validation_status
        return encoded(status, error(EngineError(status, "Bad Request", str(invalid))))

    def failed(self, fault: EngineError) -> Response:
        return encoded(fault.status, error(fault))

    def changed(self, engine: Engine, change: Load | Unload) -> Response:  # noqa: ARG002 - all are listed
        return encoded(200, outcome("", engine.adapters))

    def not_changed(self, engine: Engine, change: Load | Unload, fault: EngineError) -> Response:
        known = isinstance(change, Load) and engine.config.enable_lora  # else the workers were not asked
        return encoded(400, outcome(fault.message, engine.adapters if known else None))


def outcome(problem: str, adapters: Mapping[str, str] | None) -> dict[str, Any]:
    """`LoRAUpdateOutput` of managers/io_struct.py."""
    return {
        "rid": None,
        "http_worker_ipc": None,
        "success": not problem,
        "error_message": problem or None,
        "loaded_adapters": None if adapters is None else dict(adapters),
    }


# What each route does


def _completion(engine: Engine, request: Request) -> Generate:
    body = request.content()
    return Generate(_known(engine, requests.completion(body)), _OPENAI, optional(body, "rid", string, ""))


def _chat(engine: Engine, request: Request) -> Generate:
    body = request.content()
    return Generate(_known(engine, requests.chat(body)), _OPENAI, optional(body, "rid", string, ""))


def _generate(engine: Engine, request: Request) -> Generate:
    body = request.content()
    return Generate(_known(engine, requests.native(body)), _NATIVE, optional(body, "rid", string, ""))


def _known(engine: Engine, ask: GenerateRequest) -> GenerateRequest:
    """The same, if the adapter that it names can be had."""
    if ask.model and not engine.config.enable_lora:
        raise refused(
            f"LoRA adapter '{ask.model}' was requested, but LoRA is not enabled. Please launch the server with"
            " `--enable-lora` flag and preload adapters using `--lora-paths` or `/load_lora_adapter` endpoint for"
            " dynamic loading."
        )
    if ask.model and not engine.is_reloadable(ask.model):
        raise refused(
            f"Got LoRA adapter that has never been loaded: {ask.model}\n"
            f"All loaded adapters: dict_keys({list(engine.adapters)})."
        )
    return ask


def _load(engine: Engine, request: Request) -> Load:  # noqa: ARG001 - of one kind with the others
    body = request.content()
    optional(body, "pinned", boolean, False)
    return Load(string("lora_name", required(body, "lora_name")), string("lora_path", required(body, "lora_path")))


def _unload(engine: Engine, request: Request) -> Unload:  # noqa: ARG001
    return Unload(string("lora_name", required(request.content(), "lora_name")))


def _model_info(engine: Engine, request: Request) -> Response:  # noqa: ARG001
    model = engine.config.model
    return encoded(
        200,
        {
            "model_path": model,
            "tokenizer_path": model,
            "is_generation": True,
            "preferred_sampling_params": None,
            "weight_version": "default",
        },
    )


def _server_info(engine: Engine, request: Request) -> Response:  # noqa: ARG001
    config = engine.config
    return encoded(
        200,
        {
            "model_path": config.model,
            "served_model_name": config.served_model_names[0],
            "context_length": config.max_model_len,
            "enable_lora": config.enable_lora,
            "max_loras_per_batch": config.max_loras,
            "max_loaded_loras": config.max_listed or None,
            "max_lora_rank": config.max_lora_rank or None,
            "max_running_requests": config.max_num_seqs,
            "version": config.version,
        },
    )


def _flush(engine: Engine, request: Request) -> Response:  # noqa: ARG001
    return Response(200, {"content-type": "text/plain; charset=utf-8"}, _FLUSHED.encode())


def _described(engine: Engine, request: Request) -> Response:  # noqa: ARG001
    there = {path: route.methods for path in _ROUTES if (route := _SGLANG.route(engine, path)) is not None}
    return encoded(200, openapi.document(there))


def _embeddings(engine: Engine, request: Request) -> Response:  # noqa: ARG001
    request.content()
    raise refused("This model does not appear to be an embedding model by default. Please add `--is-embedding`.")


_ROUTES: Mapping[str, Route] = {
    "/v1/models": Route(("GET",), vllm.models),
    "/v1/completions": Route(("POST",), _completion),
    "/v1/chat/completions": Route(("POST",), _chat),
    "/v1/embeddings": Route(("POST",), _embeddings),
    GENERATE_PATH: Route(("POST", "PUT"), _generate),
    LOAD_PATH: Route(("POST",), _load),
    UNLOAD_PATH: Route(("POST",), _unload),
    "/health": Route(("GET",), vllm.health),
    "/health_generate": Route(("GET",), vllm.health),
    "/ping": Route(("GET",), vllm.health),
    "/model_info": Route(("GET",), _model_info),
    "/get_model_info": Route(("GET",), _model_info),
    "/server_info": Route(("GET",), _server_info),
    "/get_server_info": Route(("GET",), _server_info),
    "/flush_cache": Route(("GET", "POST"), _flush),
    "/metrics": Route(("GET",), vllm.metrics),
    "/openapi.json": Route(("GET",), _described),
}
_SGLANG = SglangServer()
