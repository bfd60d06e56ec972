"""Chat completions: messages, tools, structured output, streams, log probabilities."""

from typing import Any

from tests.conformance.cases.sampling import SAMPLING
from tests.conformance.exchange import ABSENT, ENDED, MESSAGES, Case, chat, load, post

_PATH = "/v1/chat/completions"
_USER = {"role": "user", "content": "hello"}
_MESSAGES: dict[str, Any] = {
    "system": [{"role": "system", "content": "be brief"}, _USER],
    "turns": [_USER, {"role": "assistant", "content": "yes"}, _USER],
    "last-assistant": [_USER, {"role": "assistant", "content": "yes"}],
    "parts": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
    "parts-two": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
    "parts-empty": [{"role": "user", "content": []}],
    "part-unknown": [{"role": "user", "content": [{"type": "smell", "smell": "x"}]}],
    "part-image": [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}
    ],
    "content-null": [{"role": "user", "content": None}],
    "content-missing": [{"role": "user"}],
    "content-number": [{"role": "user", "content": 1}],
    "content-empty": [{"role": "user", "content": ""}],
    "role-missing": [{"content": "hello"}],
    "role-unknown": [{"role": "wizard", "content": "hello"}],
    "role-number": [{"role": 1, "content": "hello"}],
    "role-developer": [{"role": "developer", "content": "be brief"}, _USER],
    "tool-result": [_USER, {"role": "tool", "tool_call_id": "1", "content": "42"}],
    "assistant-tool-calls": [
        _USER,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "42"},
    ],
    "name": [{**_USER, "name": "me"}],
    "field-unknown": [{**_USER, "unknown": 1}],
    "empty": [],
    "null": None,
    "missing": ABSENT,
    "text": "hello",
    "object": {},
    "of-text": ["hello"],
    "part-refusal": [_USER, {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}, _USER],
    "part-thinking": [_USER, {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}]}, _USER],
    "part-text-missing": [{"role": "user", "content": [{"type": "text"}]}],
    "part-of-text": [{"role": "user", "content": ["hello"]}],
    "part-without-type": [{"role": "user", "content": [{"text": "hello"}]}],
    "part-file": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "1"}}]}],
    "part-audio": [
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}]}
    ],
    "part-tool-reference": [{"role": "user", "content": [{"type": "tool_reference", "name": "f"}]}],
    "content-object": [{"role": "user", "content": {"text": "hello"}}],
    "reasoning-content": [_USER, {"role": "assistant", "content": "yes", "reasoning_content": "hm"}, _USER],
    "custom-tool-call": [
        _USER,
        {
            "role": "assistant",
            "tool_calls": [{"id": "1", "type": "custom", "custom": {"name": "f", "input": "x"}}],
        },
        _USER,
    ],
    "tool-calls-empty": [_USER, {"role": "assistant", "content": "yes", "tool_calls": []}, _USER],
    "tool-calls-number": [_USER, {"role": "assistant", "content": "yes", "tool_calls": 1}, _USER],
    "tool-calls-arguments-bad": [
        _USER,
        {
            "role": "assistant",
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{"}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "42"},
    ],
    "tool-result-without-id": [_USER, {"role": "tool", "content": "42"}],
    "function-result": [_USER, {"role": "function", "name": "f", "content": "42"}],
    "number": 1,
    "too-long": [{"role": "user", "content": "hello world " * 2000}],
}
_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
_SCHEMA = {"name": "s", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}
_SHAPES: dict[str, dict[str, Any]] = {
    "tools": {"tools": [_TOOL]},
    "tools-auto": {"tools": [_TOOL], "tool_choice": "auto"},
    "tools-none": {"tools": [_TOOL], "tool_choice": "none"},
    "tools-required": {"tools": [_TOOL], "tool_choice": "required", "ignore_eos": False, "max_tokens": 40},
    "tools-named": {
        "tools": [_TOOL],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "ignore_eos": False,
        "max_tokens": 40,
    },
    "tools-named-unknown": {"tools": [_TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
    "tools-choice-unknown": {"tools": [_TOOL], "tool_choice": "maybe"},
    "tool-choice-without-tools": {"tool_choice": "auto"},
    "tool-choice-required-without-tools": {"tool_choice": "required"},
    "tools-empty": {"tools": []},
    "tools-null": {"tools": None},
    "tools-bad": {"tools": [{"type": "function"}]},
    "parallel-tools": {"parallel_tool_calls": False},
    "json-object": {"response_format": {"type": "json_object"}, "ignore_eos": False, "max_tokens": 30},
    "json-schema": {
        "response_format": {"type": "json_schema", "json_schema": _SCHEMA},
        "ignore_eos": False,
        "max_tokens": 40,
    },
    "json-schema-missing": {"response_format": {"type": "json_schema"}},
    "json-schema-bad": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "nothing"}}}
    },
    "response-format-unknown": {"response_format": {"type": "xml"}},
    "response-format-text": {"response_format": {"type": "text"}},
    "response-format-null": {"response_format": None},
    "structured-json": {"structured_outputs": {"json": {"type": "object"}}, "ignore_eos": False, "max_tokens": 30},
    "structured-choice": {"structured_outputs": {"choice": ["yes", "no"]}, "ignore_eos": False},
    "structured-regex": {"structured_outputs": {"regex": "[ab]{3}"}, "ignore_eos": False},
    "structured-bad": {"structured_outputs": {"regex": "["}},
    "max-completion-tokens": {"max_tokens": ABSENT, "max_completion_tokens": 2},
    "max-completion-tokens-zero": {"max_tokens": ABSENT, "max_completion_tokens": 0},
    "max-completion-tokens-both": {"max_completion_tokens": 2},
    "max-completion-tokens-negative": {"max_completion_tokens": -1},
    "max-tokens-zero": {"max_tokens": 0},
    "max-tokens-null": {"max_tokens": None},
    "max-tokens-beyond-the-context": {"max_tokens": 100000},
    "logprobs": {"logprobs": True},
    "logprobs-top": {"logprobs": True, "top_logprobs": 2},
    "top-logprobs-alone": {"top_logprobs": 2},
    "top-logprobs-many": {"logprobs": True, "top_logprobs": 21},
    "top-logprobs-negative": {"logprobs": True, "top_logprobs": -1},
    "logprobs-number": {"logprobs": 1},
    "prompt-logprobs": {"prompt_logprobs": 1},
    "two-choices": {"n": 2, "temperature": 1},
    "n-zero": {"n": 0},
    "echo": {"echo": True},
    "continue-final": {
        "continue_final_message": True,
        "add_generation_prompt": False,
        "messages": [_USER, {"role": "assistant", "content": "yes"}],
    },
    "continue-contradiction": {"continue_final_message": True},
    "no-generation-prompt": {"add_generation_prompt": False},
    "chat-template": {"chat_template": "{{ messages[0]['content'] }}"},
    "chat-template-kwargs": {"chat_template_kwargs": {"x": 1}},
    "documents": {"documents": [{"text": "x"}]},
    "reasoning-effort": {"reasoning_effort": "low"},
    "reasoning-effort-unknown": {"reasoning_effort": "huge"},
    "include-reasoning": {"include_reasoning": False},
    "service-tier": {"service_tier": "auto"},
    "metadata": {"metadata": {"a": "b"}},
    "store": {"store": True},
    "modalities": {"modalities": ["text"]},
    "audio": {"modalities": ["audio"]},
    "user": {"user": "me"},
    "token-ids": {"return_token_ids": True},
    "truncate-prompt": {"truncate_prompt_tokens": 2},
    "cache-salt-empty": {"cache_salt": ""},
    "unknown-field": {"unknown": 1},
    "functions": {"functions": [{"name": "f"}]},
    "best-of": {"best_of": 2},
    "stop-many": {"stop": ["a", "b", "c", "d", "e"]},
    "stop-tokens": {"stop_token_ids": list(range(512)), "ignore_eos": False},
    "prompt-instead": {"messages": ABSENT, "prompt": "hello"},
    "n-null": {"n": None},
    "top-logprobs-null": {"logprobs": True, "top_logprobs": None},
    "top-logprobs-text": {"logprobs": True, "top_logprobs": "x"},
    "tokens-as-ids": {"logprobs": True, "top_logprobs": 1, "return_tokens_as_token_ids": True},
    "prompt-text": {"return_prompt_text": True},
    "reasoning-effort-none": {"reasoning_effort": "none"},
    "documents-text": {"documents": ["x"]},
    "chat-template-kwargs-template": {"chat_template_kwargs": {"chat_template": "x"}},
    "media-kwargs": {"media_io_kwargs": {"image": {"a": 1}}},
    "processor-kwargs": {"mm_processor_kwargs": {"a": 1}},
    "clamped": {"messages": [{"role": "user", "content": "é" * 200}], "max_tokens": 430},
    "echo-continued": {
        "echo": True,
        "continue_final_message": True,
        "add_generation_prompt": False,
        "messages": [_USER, {"role": "assistant", "content": "yes"}],
    },
    "no-generation-prompt-assistant": {
        "add_generation_prompt": False,
        "messages": [_USER, {"role": "assistant", "content": "yes"}],
    },
    "both-prompts-set": {"continue_final_message": True, "add_generation_prompt": True},
    "tools-function-missing": {"tools": [_TOOL], "tool_choice": {"type": "function"}},
    "tools-name-missing": {"tools": [_TOOL], "tool_choice": {"type": "function", "function": {}}},
    "tools-name-empty": {"tools": [_TOOL], "tool_choice": {"type": "function", "function": {"name": ""}}},
    "tools-text": {"tools": "x"},
    "tools-list-of-text": {"tools": ["x"]},
    "tools-choice-null": {"tools": [_TOOL], "tool_choice": None},
    "tools-choice-number": {"tools": [_TOOL], "tool_choice": 1},
    "json-schema-finite": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"enum": ["a"]}}},
        "ignore_eos": False,
        "max_tokens": 100,
    },
    "json-schema-null": {"response_format": {"type": "json_schema", "json_schema": {"name": "s"}}},
    "json-schema-name-missing": {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
    "json-schema-reference-missing": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"$ref": "#/$defs/x"}}}
    },
    "structured-two": {"structured_outputs": {"choice": ["yes"], "regex": "a"}},
    "structured-and-named-tool": {
        "structured_outputs": {"choice": ["yes"]},
        "tools": [_TOOL],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    },
    "structured-text": {"structured_outputs": "x"},
    "guided-json": {"guided_json": {"type": "object"}, "ignore_eos": False, "max_tokens": 30},
    "guided-regex": {"guided_regex": "[ab]{3}", "ignore_eos": False},
}
_NO_ARGUMENTS = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
_FINITE = {
    "type": "object",
    "properties": {"x": {"enum": ["a"]}},
    "required": ["x"],
    "additionalProperties": False,
}
_FINITE_TOOL = {"type": "function", "function": {"name": "f", "parameters": _FINITE}}
_NAMED = {"type": "function", "function": {"name": "f"}}
_CALLS = {"tools": [_FINITE_TOOL], "ignore_eos": False, "max_tokens": 300}
_WITH_PARSER: dict[str, dict[str, Any]] = {
    "auto": {**_CALLS, "max_tokens": 10},
    "none": {**_CALLS, "tool_choice": "none", "max_tokens": 10},
    "required": {**_CALLS, "tool_choice": "required"},
    "required-cut": {**_CALLS, "tool_choice": "required", "max_tokens": 5},
    "named": {**_CALLS, "tool_choice": _NAMED},
    "named-cut": {**_CALLS, "tool_choice": _NAMED, "max_tokens": 3},
    "named-unknown": {**_CALLS, "tool_choice": {"type": "function", "function": {"name": "g"}}},
    "no-arguments": {
        **_CALLS,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": _NO_ARGUMENTS}}],
        "tool_choice": "required",
    },
    "no-parameters": {**_CALLS, "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": _NAMED},
    "bad-parameters": {
        **_CALLS,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "nothing"}}}],
        "tool_choice": "required",
    },
    "without-tools": {"tool_choice": "auto"},
    "no-tools": {},
    "required-stream": {**_CALLS, "tool_choice": "required", "stream": True},
    "named-stream": {**_CALLS, "tool_choice": _NAMED, "stream": True},
    "auto-stream": {**_CALLS, "max_tokens": 10, "stream": True},
    "required-usage": {
        **_CALLS,
        "tool_choice": "required",
        "stream": True,
        "stream_options": {"include_usage": True},
    },
    "with-format": {**_CALLS, "response_format": {"type": "json_object"}, "max_tokens": 30},
    "result": {
        **_CALLS,
        "messages": [
            _USER,
            {
                "role": "assistant",
                "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "1", "content": "42"},
        ],
        "max_tokens": 10,
    },
}
"""Requests to a server that reads tool calls."""
_REFUSED_BY_THE_ENGINE: dict[str, dict[str, Any]] = {
    "logit-bias": {"logit_bias": {"100000": 1}},
    "top-logprobs": {"logprobs": True, "top_logprobs": 21},
    "regex": {"structured_outputs": {"regex": "["}},
    "json-schema": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "nothing"}}}
    },
}
"""Requests that are refused after a stream has begun."""
_STREAMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "usage": {"stream_options": {"include_usage": True}},
    "continuous-usage": {"stream_options": {"include_usage": True, "continuous_usage_stats": True}},
    "options-empty": {"stream_options": {}},
    "options-without-stream": {"stream": False, "stream_options": {"include_usage": True}},
    "two-choices": {"n": 2, "temperature": 1},
    "logprobs": {"logprobs": True, "top_logprobs": 1},
    "token-ids": {"return_token_ids": True},
    "tools-none": {"tools": [_TOOL], "tool_choice": "none"},
    "max-tokens-zero": {"max_tokens": 0},
    "unknown-model": {"model": "none"},
    "messages-empty": {"messages": []},
    "json-object": {"response_format": {"type": "json_object"}, "ignore_eos": False, "max_tokens": 30},
}
_MODELS: dict[str, Any] = {"unknown": "none", "empty": "", "null": None, "missing": ABSENT}
_BODIES: dict[str, Any] = {"empty-object": {}, "null": None, "list": []}

_ENDED: dict[str, dict[str, Any]] = {
    "plain": {},
    "usage": {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}},
    "stream": {"stream": True},
    "stream-logprobs": {"stream": True, "logprobs": True, "top_logprobs": 1},
    "stream-token-ids": {"stream": True, "return_token_ids": True},
    "logprobs": {"logprobs": True, "top_logprobs": 1},
    "token-ids": {"return_token_ids": True},
}
"""Texts that end by themselves, on servers without a parser of tool calls, and with one."""

CASES = (
    Case("chat/plain", (chat(),)),
    Case("chat/adapter", (load(), chat("a"))),
    Case("chat/adapter-stream", (load(), chat("a", stream=True))),
    Case("chat/alias", (chat("alias"),), "two-names"),
    *(Case(f"chat/messages/{name}", (chat(messages=messages),)) for name, messages in _MESSAGES.items()),
    *(Case(f"chat/shape/{name}", (chat(**fields),)) for name, fields in _SHAPES.items()),
    *(Case(f"chat/stream/{name}", (chat(**{"stream": True, **fields}),)) for name, fields in _STREAMS.items()),
    *(
        Case(f"chat/stream-refused/{name}", (chat(stream=True, **fields),))
        for name, fields in _REFUSED_BY_THE_ENGINE.items()
    ),
    *(Case(f"chat/tools/{name}", (chat(**fields),), "tools") for name, fields in _WITH_PARSER.items()),
    *(Case(f"chat/ended/{name}", (chat(**ENDED, **fields),)) for name, fields in _ENDED.items()),
    *(Case(f"chat/ended-parsed/{name}", (chat(**ENDED, **fields),), "tools") for name, fields in _ENDED.items()),
    *(Case(f"chat/model/{name}", (chat(model=model),)) for name, model in _MODELS.items()),
    *(Case(f"chat/sampling/{name}", (chat(**fields),)) for name, fields in SAMPLING.items()),
    *(Case(f"chat/body/{name}", (post(_PATH, body),)) for name, body in _BODIES.items()),
    Case("chat/not-json", (post(_PATH, content=b"{", headers={"content-type": "application/json"}),)),
    Case("chat/messages/default", (chat(messages=MESSAGES),)),
)
