"""Shape of an answer: its fields with their JSON types, without values. The same for texts that differ by chance."""

import json
from collections.abc import Iterator
from typing import Any

_BY_CHANCE = ("stop_reason", "finish_reason", "bytes")
"""Fields whose type depends on the text: where it ended, and whether a token stands for bytes."""
_KEYED_BY_TOKEN = ("top_logprobs[]", "prompt_logprobs[]")
"""Objects that have a token for a key."""
_TYPES = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "list",
    dict: "object",
}


def shape_of(content_type: str, content: bytes) -> str:
    """Return the shape of a successful response, one field a word; that of all its events for a stream."""
    if content_type.startswith("text/event-stream"):
        events = [line[6:] for line in content.decode().split("\n") if line.startswith("data: {")]
        return _words([json.loads(event) for event in events])
    if not content_type.startswith("application/json"):
        return "text"
    return _words([json.loads(content)])


def _words(values: list[Any]) -> str:
    return " ".join(sorted({word for value in values for word in _fields(value, "")}))


def _fields(value: Any, place: str) -> Iterator[str]:
    name = place.rpartition(".")[2]
    if name in _BY_CHANCE:
        yield place
        return
    yield f"{place}:{_TYPES[type(value)]}"
    if isinstance(value, dict):
        keyed = name in _KEYED_BY_TOKEN and "token" not in value
        for key, item in value.items():
            yield from _fields(item, f"{place}.{'*' if keyed else key}")
    elif isinstance(value, list):
        if name == "choices":
            yield f"{place}:{len(value)}"
        for item in value:
            yield from _fields(item, f"{place}[]")
