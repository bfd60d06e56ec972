"""OpenAI's Responses: inputs, limits, streams, stored responses. The prompt is one to which the model has an answer."""

from typing import Any

from tests.conformance.exchange import ABSENT, Case, Request, get, load, post

_PATH = "/v1/responses"
_TEXT = "hello"
_MESSAGE = {"role": "user", "content": _TEXT}
_TOOL = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
_SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}

_INPUTS: dict[str, Any] = {
    "message": [_MESSAGE],
    "message-typed": [{"type": "message", **_MESSAGE}],
    "parts": [{"role": "user", "content": [{"type": "input_text", "text": _TEXT}]}],
    "system": [{"role": "system", "content": "be brief"}, _MESSAGE],
    "developer": [{"role": "developer", "content": "be brief"}, _MESSAGE],
    "turns": [_MESSAGE, {"role": "assistant", "content": "yes"}, _MESSAGE],
    "assistant-item": [
        _MESSAGE,
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "yes"}]},
        _MESSAGE,
    ],
    "function-output": [
        _MESSAGE,
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "1"},
    ],
    "function-output-alone": [{"type": "function_call_output", "call_id": "c1", "output": "1"}],
    "image": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://example.invalid/a.png"}]}],
    "empty-text": "",
    "empty-list": [],
    "null": None,
    "missing": ABSENT,
    "number": 1,
    "list-of-text": ["a"],
    "role-unknown": [{"role": "robot", "content": "a"}],
    "item-unknown": [{"type": "nothing"}],
}
_FIELDS: dict[str, dict[str, Any]] = {
    "no-model": {"model": ABSENT},
    "model-unknown": {"model": "none"},
    "model-null": {"model": None},
    "model-number": {"model": 1},
    "instructions": {"instructions": "be brief"},
    "instructions-number": {"instructions": 1},
    "metadata": {"metadata": {"a": "b"}},
    "metadata-number": {"metadata": {"a": 1}},
    "user": {"user": "me"},
    "limit-zero": {"max_output_tokens": 0},
    "limit-negative": {"max_output_tokens": -1},
    "limit-text": {"max_output_tokens": "many"},
    "limit-one": {"max_output_tokens": 1},
    "temperature-high": {"temperature": 3},
    "temperature-negative": {"temperature": -1},
    "temperature-text": {"temperature": "x"},
    "top-p-zero": {"top_p": 0},
    "top-p": {"top_p": 0.5},
    "top-k": {"top_k": 3},
    "presence-high": {"presence_penalty": 3},
    "seed": {"seed": 1},
    "logprobs": {"include": ["message.output_text.logprobs"], "top_logprobs": 1},
    "logprobs-not-included": {"top_logprobs": 1},
    "logprobs-many": {"include": ["message.output_text.logprobs"], "top_logprobs": 100},
    "logprobs-stream": {"include": ["message.output_text.logprobs"], "top_logprobs": 1, "stream": True},
    "include-unknown": {"include": ["x"]},
    "truncation": {"truncation": "auto"},
    "truncation-unknown": {"truncation": "x"},
    "service-tier": {"service_tier": "flex"},
    "service-tier-unknown": {"service_tier": "x"},
    "prompt": {"prompt": {"id": "p"}},
    "background": {"background": True},
    "background-without-store": {"background": True, "store": False},
    "store-false": {"store": False},
    "previous-unknown": {"previous_response_id": "resp_none"},
    "previous-misnamed": {"previous_response_id": "none"},
    "tools": {"tools": [_TOOL]},
    "tools-none": {"tools": [_TOOL], "tool_choice": "none"},
    "tools-empty": {"tools": []},
    "tools-number": {"tools": 1},
    "tool-choice-required": {"tool_choice": "required"},
    "tool-choice-named": {"tool_choice": {"type": "function", "name": "f"}},
    "tool-choice-unknown": {"tools": [_TOOL], "tool_choice": {"type": "function", "name": "g"}},
    "tool-choice-text": {"tool_choice": "x"},
    "parallel": {"parallel_tool_calls": False},
    "max-tool-calls": {"max_tool_calls": 1},
    "reasoning": {"reasoning": {"effort": "low"}},
    "reasoning-unknown": {"reasoning": {"effort": "x"}},
    "text": {"text": {"format": {"type": "text"}}},
    "text-verbosity": {"text": {"verbosity": "low"}},
    "json-object": {"text": {"format": {"type": "json_object"}}, "ignore_eos": False, "max_output_tokens": 60},
    "json-schema": {
        "text": {"format": {"type": "json_schema", "name": "a", "schema": _SCHEMA}},
        "ignore_eos": False,
        "max_output_tokens": 60,
    },
    "json-schema-without-name": {"text": {"format": {"type": "json_schema", "schema": _SCHEMA}}},
    "format-unknown": {"text": {"format": {"type": "xml"}}},
    "stream-null": {"stream": None},
    "stream-text": {"stream": "yes"},
    "request-id": {"request_id": "resp_mine"},
    "request-id-number": {"request_id": 1},
    "unknown-field": {"unknown": 1},
    "cache-salt": {"cache_salt": "x"},
    "cache-salt-empty": {"cache_salt": ""},
    "messages-shown": {"enable_response_messages": True},
}
_STREAMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "one-token": {"max_output_tokens": 1},
    "message": {"input": [_MESSAGE]},
    "model-unknown": {"model": "none"},
    "limit-zero": {"max_output_tokens": 0},
    "bad-field": {"temperature": "x"},
    "usage": {"stream_options": {"include_usage": True}},
    "obfuscation": {"stream_options": {"include_obfuscation": False}},
}


def _response(counts: bool = False, /, **fields: Any) -> Request:
    """Return a request for twenty tokens that does not end early; `fields` replace or add to the body's."""
    body = {"model": "base", "input": _TEXT, "max_output_tokens": 20, "temperature": 0, "ignore_eos": True, **fields}
    present = {name: value for name, value in body.items() if value is not ABSENT}
    return post(_PATH, present, mask_usage=True, counts=counts)


_STORED = (
    _response(request_id="resp_1"),
    get(f"{_PATH}/resp_1"),
    _response(request_id="resp_2", previous_response_id="resp_1"),
    get(f"{_PATH}/resp_2"),
    Request("POST", f"{_PATH}/resp_2/cancel"),
    get(f"{_PATH}/resp_2?stream=true"),
    get(f"{_PATH}/resp_1?starting_after=x"),
)
_STORED_STREAM = (
    _response(request_id="resp_3", stream=True),
    get(f"{_PATH}/resp_3"),
    _response(request_id="resp_4", previous_response_id="resp_3", stream=True),
)
_NOT_STORED = (
    _response(request_id="resp_5", store=False),
    get(f"{_PATH}/resp_5"),
    _response(previous_response_id="resp_5"),
)
_ROUTES = (
    get(f"{_PATH}/resp_none"),
    get(f"{_PATH}/none"),
    Request("POST", f"{_PATH}/resp_none/cancel"),
    Request("POST", f"{_PATH}/none/cancel"),
    Request("DELETE", f"{_PATH}/resp_none"),
    get(_PATH),
    get(f"{_PATH}/resp_none/cancel"),
    get(f"{_PATH}/resp_none/input_items"),
    Request("HEAD", f"{_PATH}/resp_none"),
)

CASES = (
    Case("responses/plain", (_response(True),)),
    Case("responses/adapter", (load(), _response(model="a"))),
    Case("responses/adapter-stream", (load(), _response(model="a", stream=True))),
    Case("responses/empty-object", (post(_PATH, {}),)),
    Case("responses/list", (post(_PATH, []),)),
    Case("responses/not-json", (post(_PATH, content=b"x", headers={"content-type": "application/json"}),)),
    Case("responses/no-content-type", (post(_PATH, content=b"{}"),)),
    *(Case(f"responses/input/{name}", (_response(input=content),)) for name, content in _INPUTS.items()),
    *(Case(f"responses/field/{name}", (_response(**fields),)) for name, fields in _FIELDS.items()),
    *(
        Case(f"responses/stream/{name}", (_response(**{"stream": True, **fields}),))
        for name, fields in _STREAMS.items()
    ),
    Case("responses/routes", _ROUTES),
    Case("responses/store-off", _STORED),
    Case("responses/stored", _STORED, "development"),
    Case("responses/stored-stream", _STORED_STREAM, "development"),
    Case("responses/not-stored", _NOT_STORED, "development"),
    Case("responses/stored-routes", _ROUTES, "development"),
    Case("responses/previous-unknown", (_response(previous_response_id="resp_none"),), "development"),
    Case("responses/alias", (_response(model="alias"),), "two-names"),
    Case("responses/too-long", (_response(input="hello world " * 200),)),
)
