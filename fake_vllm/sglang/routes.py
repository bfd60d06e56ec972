"""SGLang's routes (entrypoints/http_server.py). Adapters can always be loaded; the paths for it have no `/v1`."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from fake_vllm.engine.engine import Engine, EngineError
from fake_vllm.http.messages import METRICS, Request, Response, json_response
from fake_vllm.http.paths import SGLANG_GENERATE_PATH, SGLANG_LOAD_PATH, SGLANG_UNLOAD_PATH
from fake_vllm.http.validation import RequestValidationError
from fake_vllm.openai.completions import Builder, GenerationPlan
from fake_vllm.openai.flavor import Load, Route, Unload
from fake_vllm.openai.requests import GenerateRequest
from fake_vllm.sglang import requests
from fake_vllm.sglang.errors import bad_request
from fake_vllm.sglang.logprobs import LogprobOptions
from fake_vllm.sglang.protocol import (
    EmbeddingRequest,
    GenerateReqInput,
    LoadLoRAAdapterReqInput,
    SglangChatCompletionRequest,
    SglangCompletionRequest,
    UnloadLoRAAdapterReqInput,
)
from fake_vllm.sglang.responses import GenerateResponseBuilder, SglangResponseBuilder, error_content
from fake_vllm.vllm import routes as vllm

_OPEN = ("/health", "/metrics")  # paths that begin with these never need the key
_FLUSHED = (
    "Cache flushed.\nPlease check backend logs for more details. (When there are running or waiting requests, the"
    " operation will not be performed.)\n"
)


class SglangServer:
    """SGLang's flavor of the server."""

    def routes(self, engine: Engine) -> Mapping[str, Route]:
        return {path: route for path in _ROUTES if (route := self.route(engine, path)) is not None}

    def route(self, engine: Engine, path: str) -> Route | None:
        if path == "/metrics" and not engine.config.metrics:
            return None
        return _ROUTES.get(path)

    def requires_key(self, engine: Engine, path: str) -> bool:  # noqa: ARG002 - paths without a route need it as well
        return not path.startswith(_OPEN)

    def invalid(self, engine: Engine, error: RequestValidationError) -> Response:
        status = engine.config.quirks.validation_status
        return json_response(status, error_content(EngineError(status, "Bad Request", str(error))))

    def failed(self, engine: Engine, error: EngineError) -> Response:  # noqa: ARG002 - signature of the protocol
        return json_response(error.status, error_content(error))

    def changed(self, engine: Engine, step: Load | Unload) -> Response:  # noqa: ARG002 - all adapters are listed
        return json_response(200, lora_update_output("", engine.adapters))

    def change_failed(self, engine: Engine, step: Load | Unload, error: EngineError) -> Response:
        reached_workers = isinstance(step, Load) and engine.config.enable_lora
        return json_response(400, lora_update_output(error.message, engine.adapters if reached_workers else None))


def lora_update_output(error: str, adapters: Mapping[str, str] | None) -> dict[str, Any]:
    """Return `LoRAUpdateOutput` of managers/io_struct.py; `error` is empty after a success."""
    return {
        "rid": None,
        "http_worker_ipc": None,
        "success": not error,
        "error_message": error or None,
        "loaded_adapters": None if adapters is None else dict(adapters),
    }


def _completion(engine: Engine, request: Request) -> GenerationPlan:
    body = request.parse(SglangCompletionRequest)
    return _plan(engine, requests.from_completion(body), SglangResponseBuilder, body.rid)


def _chat(engine: Engine, request: Request) -> GenerationPlan:
    body = request.parse(SglangChatCompletionRequest)
    return _plan(engine, requests.from_chat(body), SglangResponseBuilder, body.rid)


def _generate(engine: Engine, request: Request) -> GenerationPlan:
    body = request.parse(GenerateReqInput)
    logprobs = None
    if body.return_logprob:
        start = -1 if body.logprob_start_len is None else body.logprob_start_len
        logprobs = LogprobOptions(start, body.top_logprobs_num or 0, body.return_text_in_logprobs)
    builder = partial(GenerateResponseBuilder, logprobs)
    return _plan(engine, requests.from_generate(body), builder, body.rid)


def _plan(engine: Engine, request: GenerateRequest, builder: Builder, rid: str | None) -> GenerationPlan:
    """Return the plan of a request whose adapter is loaded or can be loaded again.

    Raises:
        EngineError: if it is not.
    """
    adapter = request.model
    if adapter and not engine.config.enable_lora:
        raise bad_request(
            f"LoRA adapter '{adapter}' was requested, but LoRA is not enabled. Please launch the server with"
            " `--enable-lora` flag and preload adapters using `--lora-paths` or `/load_lora_adapter` endpoint for"
            " dynamic loading."
        )
    if adapter and not engine.is_reloadable(adapter):
        raise bad_request(
            f"Got LoRA adapter that has never been loaded: {adapter}\n"
            f"All loaded adapters: dict_keys({list(engine.adapters)})."
        )
    return GenerationPlan(adapter, lambda config: requests.validated(request, config), builder, rid or "")


def _load(engine: Engine, request: Request) -> Load:
    body = request.parse(LoadLoRAAdapterReqInput)
    return Load(body.lora_name, body.lora_path)


def _unload(engine: Engine, request: Request) -> Unload:
    return Unload(request.parse(UnloadLoRAAdapterReqInput).lora_name)


def _metrics(engine: Engine, request: Request) -> Response:
    return Response(200, METRICS, engine.metrics_page().encode())


def _model_info(engine: Engine, request: Request) -> Response:
    model = engine.config.model
    return json_response(
        200,
        {
            "model_path": model,
            "tokenizer_path": model,
            "is_generation": True,
            "preferred_sampling_params": None,
            "weight_version": "default",
        },
    )


def _server_info(engine: Engine, request: Request) -> Response:
    config = engine.config
    return json_response(
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


def _flush(engine: Engine, request: Request) -> Response:
    return Response(200, {"content-type": "text/plain; charset=utf-8"}, _FLUSHED.encode())


def _embeddings(engine: Engine, request: Request) -> Response:
    request.parse(EmbeddingRequest)
    raise bad_request("This model does not appear to be an embedding model by default. Please add `--is-embedding`.")


_ROUTES: Mapping[str, Route] = {
    "/v1/completions": Route(("POST",), _completion, SglangCompletionRequest),
    "/v1/chat/completions": Route(("POST",), _chat, SglangChatCompletionRequest),
    SGLANG_GENERATE_PATH: Route(("POST", "PUT"), _generate, GenerateReqInput),
    "/v1/models": Route(("GET",), vllm.models),
    "/health": Route(("GET",), vllm.health),
    "/metrics": Route(("GET",), _metrics),
    SGLANG_LOAD_PATH: Route(("POST",), _load, LoadLoRAAdapterReqInput),
    SGLANG_UNLOAD_PATH: Route(("POST",), _unload, UnloadLoRAAdapterReqInput),
    "/v1/embeddings": Route(("POST",), _embeddings, EmbeddingRequest),
    "/health_generate": Route(("GET",), vllm.health),
    "/ping": Route(("GET",), vllm.health),
    "/model_info": Route(("GET",), _model_info),
    "/get_model_info": Route(("GET",), _model_info),
    "/server_info": Route(("GET",), _server_info),
    "/get_server_info": Route(("GET",), _server_info),
    "/flush_cache": Route(("GET", "POST"), _flush),
}
