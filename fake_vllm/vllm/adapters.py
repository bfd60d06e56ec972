"""Routes that load and unload adapters: vLLM's own, and SageMaker's (the package model_hosting_container_standards)."""

import json
from typing import Any

from pydantic import BaseModel, ValidationError, field_validator

from fake_vllm.engine.engine import Engine, EngineError
from fake_vllm.http.messages import Request
from fake_vllm.http.sanitize import sanitize
from fake_vllm.openai.flavor import Load, Unload
from fake_vllm.openai.releases import api
from fake_vllm.vllm.protocol import LoadLoRAAdapterRequest, UnloadLoRAAdapterRequest

_ALIAS = "x-amzn-sagemaker-adapter-alias"
_NO_FIELDS = json.dumps(
    [{"type": "missing", "loc": [name], "msg": "Field required", "input": ""} for name in ("name", "src")],
    separators=(",", ":"),
)
"""Error of empty query parameters, as pydantic writes it."""


class SageMakerRegisterLoRAAdapterRequest(BaseModel):
    """Body of `POST /adapters`."""

    name: str
    src: str
    preload: bool = True
    pin: bool = False

    @field_validator("name", "src", mode="before")
    @classmethod
    def check_not_empty(cls, value: Any, info: Any) -> Any:
        if value == "":
            raise ValueError(f"The parameter {info.field_name} cannot be an empty string")
        return value


def load(engine: Engine, request: Request) -> Load:
    body = request.parse(LoadLoRAAdapterRequest, api(engine.config.version))
    return Load(body.lora_name, body.lora_path, body.load_inplace)


def unload(engine: Engine, request: Request) -> Unload:
    return Unload(request.parse(UnloadLoRAAdapterRequest).lora_name)


def register_adapter(engine: Engine, request: Request) -> Load:
    """Load the adapter that a body names; a body that is not JSON counts as empty query parameters."""
    try:
        content: Any = json.loads(request.body)
    except (ValueError, RecursionError):
        raise EngineError(400, "Bad Request", _NO_FIELDS) from None
    try:
        body = SageMakerRegisterLoRAAdapterRequest.model_validate(content)
    except ValidationError as error:
        message = sanitize(_as_json(error), hides_paths=engine.config.quirks.hides_paths)
        raise EngineError(400, "Bad Request", message) from None
    in_place = isinstance(content, dict) and bool(content.get("load_inplace"))
    name = request.headers.get(_ALIAS) or body.name
    return Load(body.name, body.src, in_place, done=f"Adapter {name} registered")


def _as_json(error: ValidationError) -> str:
    """Return an error in JSON; a lone surrogate in the input, which JSON can hold and UTF-8 cannot, is left out."""
    try:
        return error.json(include_url=False)
    except ValueError:
        return error.json(include_url=False, include_input=False)


def unregister_adapter(engine: Engine, request: Request) -> Unload:
    """Unload the adapter at the end of the path."""
    adapter = request.path.rpartition("/")[2]
    return Unload(adapter, done=f"Adapter {request.headers.get(_ALIAS) or adapter} unregistered")
