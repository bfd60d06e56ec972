"""Values for the fields of random bodies: of a schema's type, at the edges of what is accepted, and of wrong types.

Values that make a real server generate for minutes are left out, not those that it must refuse.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.conformance.fuzz.schema import Node, Schema

_INT64 = 2**63
INTEGERS = (0, 1, -1, 2, -2, 3, 5, 20, 21, 511, 512, 513, 2**31 - 1, 2**31, _INT64 - 1, _INT64, -_INT64 - 1, 10**30)
NUMBERS = (0.0, 1.0, -1.0, 0.5, 1.5, 2.0, 2.0001, -2.0, -2.5, 1e-6, 1e300, float("nan"), float("inf"), float("-inf"))
TEXTS = ("", " ", "a", "hello", "1", "0", "true", "null", "é", "\u0000", "🦙", "\ud800", "@", "a/b", "\\", "a" * 200)
ODD = (None, True, False, 0, 1, -1, 1.5, 2.0, "", "x", "1", "true", [], [1], ["x"], [None], {}, {"a": 1}, [[]], [{}])
"""Values of every JSON type, of which a field takes some."""

REGEXES = (
    "[ab]{3}",
    "a+",
    "",
    "[",
    "(",
    "a{2,1}",
    "\\d+",
    "(?=a)b",
    "\\1",
    "^a$",
    "(?i)a",
    "a|b",
    "[[:alpha:]]",
    "\\p{L}",
)
SCHEMAS: tuple[Any, ...] = (
    {"type": "object"},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    {"type": "array", "items": {"type": "string"}, "minItems": 1},
    {"enum": ["yes", "no"]},
    {"const": 1},
    {"type": "string", "pattern": "[ab]+"},
    {"type": "string", "pattern": "["},
    {"type": "string", "format": "date"},
    {"type": "integer", "minimum": 1, "maximum": 3},
    {"type": "integer", "multipleOf": 2},
    {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    {"$ref": "#/$defs/a", "$defs": {"a": {"type": "boolean"}}},
    {"$ref": "#/$defs/none"},
    {"type": "nothing"},
    {"type": ["integer", "null"]},
    {"not": {"type": "integer"}},
    {"type": "object", "patternProperties": {"^a": {"type": "integer"}}},
    {"type": "array", "uniqueItems": True},
    {"type": "object", "properties": 1},
    {"type": "object", "required": "a"},
    {},
    {"type": 1},
)
GRAMMARS = (
    'root ::= "a"',
    'root ::= "a" | "b"',
    "root ::= other",
    "",
    "x",
    'start: "a"',
    "root ::= [a-z]+",
    "root ::=",
)
TEMPLATES = ("{{ messages[0]['content'] }}", "", "{{", "x")
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
MESSAGES: tuple[Any, ...] = (
    [{"role": "user", "content": "hello"}],
    [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
    [{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
    [{"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "1", "content": "42"}],
    [{"role": "user", "content": ""}],
    [{"role": "user", "content": "hello " * 5000}],
    [],
)
PROMPTS: tuple[Any, ...] = (
    "hello",
    "",
    " ",
    "hello " * 5000,
    ["a", "b"],
    [""],
    [],
    [11, 12, 13],
    [[11, 12], [13]],
    [[]],
    [11] * 511,
    [11] * 512,
    [11] * 513,
    [512],
    [-1],
    [11, "a"],
    ["a", 11],
    [11, None],
    [11.0],
    [True],
)

Choices = Sequence[Any]
FIELDS: Mapping[str, Choices] = {
    "model": ("base", "base", "a", "none", "", " ", "base "),
    "prompt": PROMPTS,
    "messages": MESSAGES,
    "max_tokens": (0, 1, 2, 3, -1, 512, 513, 10**6, _INT64),
    "max_completion_tokens": (0, 1, 2, 3, -1, 513, 10**6, _INT64),
    "min_tokens": (0, 1, 2, 3, -1, 512, 10**6),
    "n": (0, 1, 1, 2, 3, -1, 16385, _INT64),
    "seed": (0, 1, -1, _INT64 - 1, _INT64, -_INT64, -_INT64 - 1),
    "temperature": (0, 0.0, 1e-6, 0.5, 1, 2, 2.0001, 10, -0.1, *NUMBERS[-3:]),
    "top_p": (0, 0.1, 1, 1.0001, -0.1, *NUMBERS[-3:]),
    "top_k": (-2, -1, 0, 1, 5, 511, 512, 513, 2**31, _INT64),
    "min_p": (0, 0.5, 1, 1.1, -0.1, *NUMBERS[-3:]),
    "repetition_penalty": (0, 0.1, 1, 2, 100, -1, *NUMBERS[-3:]),
    "presence_penalty": (-2, 0, 2, 2.1, -2.1, *NUMBERS[-3:]),
    "frequency_penalty": (-2, 0, 2, 2.1, -2.1, *NUMBERS[-3:]),
    "logprobs": (0, 1, 5, 20, 21, -1, -2, True, False, 512, 513),
    "top_logprobs": (0, 1, 5, 20, 21, -1, -2, 512, 513),
    "prompt_logprobs": (0, 1, 5, 20, 21, -1, -2, 512, 513),
    "logprob_token_ids": ([], [11], [11, 12], [511], [512], [-1], [11] * 128, [11] * 129),
    "allowed_token_ids": ([], [11], [11, 12], [511], [512], [-1]),
    "stop_token_ids": ([], [11], [1], [511], [512], [-1], [_INT64]),
    "logit_bias": ({}, {"11": 1}, {"11": 100}, {"11": -100}, {"11": 1000}, {"512": 1}, {"-1": 1}, {"x": 1}, {"1.5": 1}),
    "stop": ("", "a", [], ["a"], [""], ["a", "b", "c", "d"], ["a", "b", "c", "d", "e"], ["a", None]),
    "bad_words": ([], ["a"], [""], [" "], ["hello"], ["a", ""], ["\u0000"]),
    "truncate_prompt_tokens": (-2, -1, 0, 1, 2, 511, 512, 513, _INT64),
    "stream_options": (
        {},
        {"include_usage": True},
        {"include_usage": True, "continuous_usage_stats": True},
        {"continuous_usage_stats": True},
        {"include_usage": "x"},
        {"x": 1},
    ),
    "cache_salt": ("", "a", "a" * 128, "a" * 129, "a" * 1025, "@", "a/b", "\u0000", "\\"),
    "request_id": ("", "a", "a" * 300, "a b"),
    "priority": (0, 1, -1, _INT64 - 1, _INT64),
    "stream_interval": (0, 1, 2, -1, 10**6),
    "thinking_token_budget": (-2, -1, 0, 1, 10**6, 1.5, True, "1"),
    "prompt_embeds": ("", "AA==", [], ["AA=="], "!"),
    "suffix": ("", "a"),
    "chat_template": TEMPLATES,
    "chat_template_kwargs": ({}, {"x": 1}, {"chat_template": "x"}, {"add_generation_prompt": False}, {"tools": []}),
    "tools": ([TOOL], [TOOL, TOOL], [], [{}], [{"type": "function"}], [{"type": "x", "function": {"name": "f"}}]),
    "tool_choice": (
        "none",
        "auto",
        "required",
        "x",
        {"type": "function", "function": {"name": "f"}},
        {"type": "function", "function": {"name": "g"}},
        {"function": {}},
        {},
    ),
    "response_format": (
        {"type": "text"},
        {"type": "json_object"},
        {"type": "json_schema"},
        {"type": "json_schema", "json_schema": None},
        {"type": "json_schema", "json_schema": {"name": "s"}},
        {"type": "structural_tag"},
        {"type": "structural_tag", "structures": [], "triggers": []},
        {"type": "structural_tag", "structures": [{"begin": "<a>", "schema": {}, "end": "</a>"}], "triggers": ["<a"]},
        {"type": "structural_tag", "structures": [{"begin": "<a>", "schema": {}, "end": "</a>"}], "triggers": ["<b"]},
        {"type": "structural_tag", "format": {"type": "const_string", "value": "a"}},
        {"type": "structural_tag", "format": {"type": "x"}},
        {"type": "structural_tag", "format": 1},
        {"type": "x"},
        {},
    ),
    "repetition_detection": (
        {},
        {"max_pattern_size": 2, "min_pattern_size": 1, "min_count": 2},
        {"max_pattern_size": 1, "min_pattern_size": 2, "min_count": 2},
        {"max_pattern_size": 2, "min_count": 1},
        {"max_pattern_size": -1},
    ),
    "kv_transfer_params": ({}, {"a": 1}, {"a": _INT64 * 4}, {"a": [{}]}),
    "ec_transfer_params": ({}, {"a": 1}, {"a": _INT64 * 4}),
    "vllm_xargs": ({}, {"a": 1}, {"a": "x"}, {"a": [1, "x"]}, {"a": None}, {"a": {}}, {"a": 10**30}),
    "tokens": ([], [11], [11, 12], [511], [512], [513], [100000], [-1], [_INT64], [_INT64 - 1], [1.0], ["1"]),
    "lora_name": ("a", "b", "c", "base", "", " ", "a/b", "a" * 300, "\u0000", "é"),
    "lora_path": (
        "<loras>/l0",
        "<loras>/l1",
        "<loras>/none",
        "",
        " ",
        "acme/sql",
        "<loras>/file",
        "\u0000",
        "a" * 5000,
    ),
    "load_inplace": (True, False, 1, 0, "yes", "x"),
    "lora_int_id": (0, 1, 2, -1, _INT64, "1"),
}
"""Values of chosen fields. Where a name is missing, values are made from its schema."""
_NESTED = ("messages", "tools", "response_format")
"""Fields whose values are made from the schema as often as chosen."""


def value_of(rng: random.Random, schema: Schema, name: str, node: Node) -> Any:
    """Return a value for a field: usually of its type, else of any."""
    draw = rng.random()
    if draw < 0.12:
        return rng.choice(ODD)
    if name in FIELDS and draw < (0.45 if name in _NESTED else 0.85):
        return rng.choice(FIELDS[name])
    if name == "structured_outputs" and draw < 0.85:
        return _structured(rng)
    if name == "response_format" and draw < 0.85:
        return {"type": "json_schema", "json_schema": {"name": "s", "schema": rng.choice(SCHEMAS)}}
    return made(rng, schema, node, 0)


def made(rng: random.Random, schema: Schema, node: Node, depth: int) -> Any:
    """Return a value of a schema; below the first level some fields are of odd types."""
    if depth and rng.random() < 0.06:
        return rng.choice(ODD)
    node = rng.choice(schema.branches(node))
    if "const" in node:
        return node["const"]
    if "enum" in node:
        return rng.choice(node["enum"])
    maker = _MAKERS.get(node.get("type", ""))
    return rng.choice(ODD) if maker is None else maker(rng, schema, node, depth)


def _structured(rng: random.Random) -> Any:
    """Return `structured_outputs` with one constraint or two, or none."""
    constraints: list[tuple[str, Any]] = [
        ("json", rng.choice(SCHEMAS)),
        ("json", rng.choice(('{"type": "object"}', "{", "", "1"))),
        ("regex", rng.choice(REGEXES)),
        ("choice", rng.choice((["a", "b"], [], [""], ["a", "a"], "a", [1]))),
        ("grammar", rng.choice(GRAMMARS)),
        ("json_object", rng.choice((True, False))),
        ("structural_tag", rng.choice(("", "{}", "[]", '{"structures": [], "triggers": []}'))),
    ]
    count = rng.choice((1, 1, 1, 1, 1, 0, 2))
    options = {"disable_any_whitespace": True, "whitespace_pattern": " ", "disable_additional_properties": True}
    extra = [rng.choice(list(options.items()))] if rng.random() < 0.15 else []
    return dict([*rng.sample(constraints, count), *extra])


def _object(rng: random.Random, schema: Schema, node: Node, depth: int) -> Any:
    properties = node.get("properties", {})
    required = node.get("required", [])
    share = 0.5 if depth < 2 else 0.2
    names = [name for name in properties if (name in required and rng.random() < 0.95) or rng.random() < share]
    value = {name: made(rng, schema, properties[name], depth + 1) for name in names}
    others = node.get("additionalProperties")
    if isinstance(others, dict):
        value |= {rng.choice(TEXTS[2:9]): made(rng, schema, others, depth + 1) for _ in range(rng.randrange(3))}
    return value


def _array(rng: random.Random, schema: Schema, node: Node, depth: int) -> Any:
    length = rng.choice((0, 1, 1, 2, 3)) if depth < 4 else rng.choice((0, 1))
    return [made(rng, schema, node.get("items", {}), depth + 1) for _ in range(length)]


_Maker = Callable[[random.Random, Schema, Node, int], Any]
_MAKERS: Mapping[str, _Maker] = {
    "object": _object,
    "array": _array,
    "string": lambda rng, *_: rng.choice(TEXTS),
    "integer": lambda rng, *_: rng.choice(INTEGERS),
    "number": lambda rng, *_: rng.choice(NUMBERS),
    "boolean": lambda rng, *_: rng.choice((True, False)),
    "null": lambda *_: None,
}
