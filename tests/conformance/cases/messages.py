"""Anthropic's Messages: contents, limits, streams, counting of tokens."""

from typing import Any

from tests.conformance.exchange import ABSENT, Case, Request, get, load, post

_PATH = "/v1/messages"
_COUNT = "/v1/messages/count_tokens"
_MESSAGE = {"role": "user", "content": "hello"}
_TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {}}}

_CONTENTS: dict[str, dict[str, Any]] = {
    "blocks": {"messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]},
    "system": {"system": "be brief"},
    "system-blocks": {"system": [{"type": "text", "text": "be brief"}]},
    "system-message": {"messages": [{"role": "system", "content": "be brief"}, _MESSAGE]},
    "turns": {"messages": [_MESSAGE, {"role": "assistant", "content": "yes"}, _MESSAGE]},
    "assistant-last": {"messages": [_MESSAGE, {"role": "assistant", "content": "yes"}]},
    "empty": {"messages": []},
    "missing": {"messages": ABSENT},
    "null": {"messages": None},
    "text": {"messages": "hello"},
    "role-unknown": {"messages": [{"role": "robot", "content": "a"}]},
    "role-missing": {"messages": [{"content": "a"}]},
    "content-missing": {"messages": [{"role": "user"}]},
    "content-empty": {"messages": [{"role": "user", "content": ""}]},
    "content-number": {"messages": [{"role": "user", "content": 1}]},
    "block-unknown": {"messages": [{"role": "user", "content": [{"type": "video"}]}]},
    "image": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}}
                ],
            }
        ]
    },
    "tool-result": {
        "messages": [
            _MESSAGE,
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "1"}]},
        ]
    },
}
_FIELDS: dict[str, dict[str, Any]] = {
    "model-unknown": {"model": "none"},
    "model-empty": {"model": ""},
    "model-missing": {"model": ABSENT},
    "limit-missing": {"max_tokens": ABSENT},
    "limit-zero": {"max_tokens": 0},
    "limit-negative": {"max_tokens": -1},
    "limit-text": {"max_tokens": "many"},
    "limit-beyond-the-context": {"max_tokens": 100000},
    "limit-one": {"max_tokens": 1},
    "temperature-high": {"temperature": 3},
    "temperature-negative": {"temperature": -1},
    "top-k": {"top_k": 3},
    "top-k-negative": {"top_k": -2},
    "top-p-zero": {"top_p": 0},
    "stop": {"stop_sequences": ["\x01"]},
    "stop-empty": {"stop_sequences": []},
    "stop-text": {"stop_sequences": "a"},
    "stop-many": {"stop_sequences": ["a", "b", "c", "d", "e"]},
    "metadata": {"metadata": {"user_id": "me"}},
    "tools": {"tools": [_TOOL]},
    "tools-auto": {"tools": [_TOOL], "tool_choice": {"type": "auto"}},
    "tools-any": {"tools": [_TOOL], "tool_choice": {"type": "any"}},
    "tools-none": {"tools": [_TOOL], "tool_choice": {"type": "none"}},
    "tools-without-schema": {"tools": [{"name": "f"}]},
    "tool-choice-alone": {"tool_choice": {"type": "any"}},
    "tool-choice-unnamed": {"tools": [_TOOL], "tool_choice": {"type": "tool"}},
    "tool-choice-text": {"tools": [_TOOL], "tool_choice": "auto"},
    "thinking": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
    "thinking-disabled": {"thinking": {"type": "disabled"}},
    "thinking-small": {"thinking": {"type": "enabled", "budget_tokens": 1}},
    "stream-text": {"stream": "x"},
    "stream-null": {"stream": None},
    "unknown-field": {"unknown": 1},
    "json-schema": {
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
        "max_tokens": 60,
    },
}
_STREAMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "system": {"system": "be brief"},
    "one-token": {"max_tokens": 1},
    "model-unknown": {"model": "none"},
    "limit-zero": {"max_tokens": 0},
    "temperature-high": {"temperature": 3},
    "stop": {"stop_sequences": ["\x01"]},
}
_COUNTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "system": {"system": "be brief"},
    "tools": {"tools": [_TOOL]},
    "empty": {"messages": []},
    "missing": {"messages": ABSENT},
    "model-unknown": {"model": "none"},
    "model-missing": {"model": ABSENT},
    "limit": {"max_tokens": 0},
    "long": {"messages": [{"role": "user", "content": "hello world " * 400}]},
}


def _messages(path: str = _PATH, counts: bool = False, /, **fields: Any) -> Request:
    """Return a request for twenty tokens; `fields` replace or add to the body's."""
    limit = {} if path == _COUNT else {"max_tokens": 20, "temperature": 0}
    body = {"model": "base", "messages": [_MESSAGE], **limit, **fields}
    present = {name: value for name, value in body.items() if value is not ABSENT}
    return post(path, present, mask_usage=True, counts=counts)


CASES = (
    Case("messages/plain", (_messages(_PATH, True),)),
    Case("messages/adapter", (load(), _messages(model="a"))),
    Case("messages/adapter-stream", (load(), _messages(model="a", stream=True))),
    Case("messages/alias", (_messages(model="alias"),), "two-names"),
    *(Case(f"messages/content/{name}", (_messages(**fields),)) for name, fields in _CONTENTS.items()),
    *(Case(f"messages/field/{name}", (_messages(**fields),)) for name, fields in _FIELDS.items()),
    *(Case(f"messages/stream/{name}", (_messages(stream=True, **fields),)) for name, fields in _STREAMS.items()),
    *(Case(f"messages/count/{name}", (_messages(_COUNT, **fields),)) for name, fields in _COUNTS.items()),
    Case("messages/too-long", (_messages(messages=[{"role": "user", "content": "hello world " * 400}]),)),
    Case("messages/empty-object", (post(_PATH, {}), post(_COUNT, {}))),
    Case("messages/list", (post(_PATH, []),)),
    Case("messages/not-json", (post(_PATH, content=b"x", headers={"content-type": "application/json"}),)),
    Case("messages/no-content-type", (post(_PATH, content=b"{}"),)),
    Case("messages/get", (get(_PATH), get(_COUNT))),
    Case("messages/version-header", (post(_PATH, {}, headers={"anthropic-version": "2023-06-01", "x-api-key": "k"}),)),
    Case("messages/without-key", (_messages(), post(_PATH, {}, headers={"x-api-key": "sesame"})), "key"),
)
