"""`/openapi.json`: the routes that a server has and what their bodies are, as FastAPI describes them.

It is made from the routes themselves, so that a path is described if and only if it is there. Fields that make no
difference to a fake are left out: bodies may have more than is said here, as they may on the real servers.
"""

from collections.abc import Mapping
from typing import Any

_STRING: Mapping[str, Any] = {"type": "string"}
_WHOLE: Mapping[str, Any] = {"type": "integer"}
_NUMBER: Mapping[str, Any] = {"type": "number"}
_TRUTH: Mapping[str, Any] = {"type": "boolean"}


def _optional(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": schema}


def _body(required: tuple[str, ...] = (), **properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


_STOP = {"anyOf": [_STRING, _list(_STRING), {"type": "null"}]}
_PROMPT = {"anyOf": [_STRING, _list(_STRING), _list(_WHOLE), _list(_list(_WHOLE))]}
_PART = _body(("type",), type=_STRING, text=_STRING)
_MESSAGE = _body(("role",), role=_STRING, content={"anyOf": [_STRING, _list(_PART), {"type": "null"}]})
_GENERATING: Mapping[str, Any] = {
    "model": _optional(_STRING),
    "n": _optional(_WHOLE),
    "max_tokens": _optional(_WHOLE),
    "min_tokens": _WHOLE,
    "stop": _STOP,
    "include_stop_str_in_output": _TRUTH,
    "ignore_eos": _TRUTH,
    "stream": _optional(_TRUTH),
    "stream_options": _optional(_body(include_usage=_optional(_TRUTH), continuous_usage_stats=_optional(_TRUTH))),
    "seed": _optional(_WHOLE),
    "temperature": _optional(_NUMBER),
    "top_p": _optional(_NUMBER),
    "top_k": _optional(_WHOLE),
    "min_p": _optional(_NUMBER),
    "presence_penalty": _optional(_NUMBER),
    "frequency_penalty": _optional(_NUMBER),
    "return_token_ids": _optional(_TRUTH),
    "user": _optional(_STRING),
    "lora_path": _optional(_STRING),
}
_BODIES: Mapping[str, Mapping[str, Any]] = {
    "/v1/completions": _body(
        ("prompt",),
        **_GENERATING,
        prompt=_PROMPT,
        echo=_optional(_TRUTH),
        logprobs=_optional(_WHOLE),
        suffix=_optional(_STRING),
    ),
    "/v1/chat/completions": _body(
        ("messages",),
        **_GENERATING,
        messages=_list(_MESSAGE),
        max_completion_tokens=_optional(_WHOLE),
        logprobs=_optional(_TRUTH),
        top_logprobs=_optional(_WHOLE),
        tools=_optional(_list(_body(type=_STRING))),
        tool_choice=_optional(_STRING),
    ),
    "/v1/embeddings": _body(("input",), model=_optional(_STRING), input=_PROMPT),
    "/v1/load_lora_adapter": _body(
        ("lora_name", "lora_path"), lora_name=_STRING, lora_path=_STRING, load_inplace=_TRUTH
    ),
    "/v1/unload_lora_adapter": _body(("lora_name",), lora_name=_STRING, lora_int_id=_optional(_WHOLE)),
    "/tokenize": _body(model=_optional(_STRING), prompt=_STRING, messages=_list(_MESSAGE), return_token_strs=_TRUTH),
    "/detokenize": _body(("tokens",), model=_optional(_STRING), tokens=_list(_WHOLE)),
    "/load_lora_adapter": _body(("lora_name", "lora_path"), lora_name=_STRING, lora_path=_STRING, pinned=_TRUTH),
    "/unload_lora_adapter": _body(("lora_name",), lora_name=_STRING),
    "/generate": _body(
        text={"anyOf": [_STRING, _list(_STRING), {"type": "null"}]},
        input_ids={"anyOf": [_list(_WHOLE), _list(_list(_WHOLE)), {"type": "null"}]},
        sampling_params=_optional(
            _body(max_new_tokens=_WHOLE, min_new_tokens=_WHOLE, n=_WHOLE, stop=_STOP, ignore_eos=_TRUTH)
        ),
        lora_path=_optional(_STRING),
        stream=_TRUTH,
        rid=_optional(_STRING),
    ),
}


def document(methods: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """The description of a server with these methods by path."""
    paths = {path: {method.lower(): _operation(path, method) for method in each} for path, each in methods.items()}
    return {"openapi": "3.1.0", "info": {"title": "FastAPI", "version": "0.1.0"}, "paths": paths}


def _operation(path: str, method: str) -> dict[str, Any]:
    answers = {"200": {"description": "Successful Response"}}
    if method == "GET" or path not in _BODIES:
        return {"responses": answers}
    content = {"application/json": {"schema": _BODIES[path]}}
    return {"requestBody": {"required": True, "content": content}, "responses": answers}
