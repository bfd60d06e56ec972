"""The random bodies: each is made from the name of its route, its number, and the schema, and depends on no other.

A body begins as a valid one. Then some fields are set: to values of their type, to edges, to odd values. Fields that
vLLM checks together are set together more often than chance would have it.
"""

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.conformance.fields.table import samples
from tests.conformance.fuzz.schema import Schema
from tests.conformance.fuzz.values import ODD, value_of

GENERATOR = 1
"""Number of the way in which bodies are made. A change of it, or of the values, needs a new recording."""

COUNTS: Mapping[str, int] = {
    "/v1/completions": 1700,
    "/v1/chat/completions": 2100,
    "/tokenize": 500,
    "/detokenize": 200,
    "/v1/load_lora_adapter": 300,
    "/v1/unload_lora_adapter": 200,
    "/v1/responses": 500,
    "/v1/messages": 300,
    "/v1/messages/count_tokens": 100,
}
_PROMPT = [11, 12, 13, 14, 15]
_MESSAGES = [{"role": "user", "content": "hello"}]
_GENERATE = {"model": "base", "max_tokens": 2, "temperature": 0}
_COMPLETION: dict[str, Any] = {**_GENERATE, "prompt": _PROMPT}
_CHAT: dict[str, Any] = {**_GENERATE, "messages": _MESSAGES}
_RESPONSE: dict[str, Any] = {"model": "base", "input": "hello", "max_output_tokens": 2, "temperature": 0}
_MESSAGE: dict[str, Any] = {**_GENERATE, "messages": _MESSAGES}
_VALID: Mapping[str, tuple[dict[str, Any], ...]] = {
    "/v1/completions": (_COMPLETION, _COMPLETION, {**_COMPLETION, "stream": True}),
    "/v1/chat/completions": (_CHAT, _CHAT, {**_CHAT, "stream": True}),
    "/tokenize": ({"model": "base", "prompt": "hello"}, {"model": "base", "messages": _MESSAGES}),
    "/detokenize": ({"model": "base", "tokens": [11, 12]},),
    "/v1/load_lora_adapter": ({"lora_name": "b", "lora_path": "<loras>/l1"},),
    "/v1/unload_lora_adapter": ({"lora_name": "a"},),
    "/v1/responses": (_RESPONSE, _RESPONSE, {**_RESPONSE, "stream": True}),
    "/v1/messages": (_MESSAGE, _MESSAGE, {**_MESSAGE, "stream": True}),
    "/v1/messages/count_tokens": ({"model": "base", "messages": _MESSAGES},),
}
_TOGETHER = (
    ("stream", "stream_options"),
    ("stream", "prompt_logprobs"),
    ("stream", "n"),
    ("stream", "structured_outputs"),
    ("stream", "logit_bias"),
    ("echo", "logprobs"),
    ("echo", "max_tokens"),
    ("echo", "stream"),
    ("echo", "suffix"),
    ("logprobs", "top_logprobs"),
    ("logprobs", "logprob_token_ids"),
    ("tools", "tool_choice"),
    ("tools", "response_format"),
    ("tool_choice", "structured_outputs"),
    ("max_tokens", "min_tokens"),
    ("max_tokens", "max_completion_tokens"),
    ("max_tokens", "prompt"),
    ("use_beam_search", "n"),
    ("use_beam_search", "logprobs"),
    ("use_beam_search", "stream"),
    ("n", "temperature"),
    ("structured_outputs", "response_format"),
    ("add_generation_prompt", "continue_final_message"),
    ("add_generation_prompt", "messages"),
    ("truncate_prompt_tokens", "truncation_side"),
    ("truncate_prompt_tokens", "prompt"),
    ("prompt", "prompt_embeds"),
    ("prompt", "add_special_tokens"),
    ("chat_template", "chat_template_kwargs"),
    ("lora_name", "lora_path"),
    ("lora_name", "load_inplace"),
)
_NOT_OBJECTS: tuple[bytes, ...] = (
    b"",
    b"{",
    b"null",
    b"[]",
    b'"x"',
    b"1",
    b"\xff",
    b"[" * 2000,
    b'{"model": base}',
    b"NaN",
)


@dataclass(frozen=True, slots=True)
class Body:
    """One request body; `<loras>` in it stands for the folder of the adapters."""

    route: str
    label: str
    content: bytes

    @property
    def name(self) -> str:
        return f"{self.route}#{self.label}"


def bodies(schema: Schema) -> Iterator[Body]:
    """Yield all bodies, route by route: the random ones, then those that show how each field is handled."""
    for route, count in COUNTS.items():
        for index in range(count):
            yield body(schema, route, index)
        for path, label, value in samples():
            if path == route:
                yield Body(route, label, json.dumps(value).encode())


def body(schema: Schema, route: str, index: int) -> Body:
    """Return one body; the same on every machine and every release of Python."""
    rng = random.Random(f"{GENERATOR} {route} {index}")
    if rng.random() < 0.01:
        return Body(route, str(index), rng.choice(_NOT_OBJECTS))
    value = dict(rng.choice(_VALID[route]))
    fields = schema.fields(route)
    for name in _chosen(rng, list(fields)):
        draw = rng.random()
        if draw < 0.06:
            value.pop(name, None)
        elif draw < 0.1:
            value[name] = None
        else:
            value[name] = value_of(rng, schema, name, fields[name])
    if rng.random() < 0.02:
        value["unknown_field"] = rng.choice(ODD)
    return Body(route, str(index), json.dumps(value).encode())


def _chosen(rng: random.Random, names: list[str]) -> list[str]:
    """Return the fields to set: often two that are checked together, else one to five of all."""
    pairs = [pair for pair in _TOGETHER if set(pair) <= set(names)]
    if pairs and rng.random() < 0.4:
        chosen = list(rng.choice(pairs))
        return [*chosen, rng.choice(names)] if rng.random() < 0.2 else chosen
    count = min(rng.choice((1, 1, 1, 2, 2, 3, 5)), len(names))
    return rng.sample(names, count)
