"""Replaces what differs between two servers by chance: ids, times, generated text, folders of the machine.

A mask names the kind of value, such as `<text>` or `<number>`. Nulls and empty lists stay: clients tell them apart.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

HEADERS = (
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-max-age",
    "allow",
    "content-type",
    "location",
    "retry-after",
    "vary",
    "www-authenticate",
    "x-request-id",
)
"""Headers that clients act on. The others are of the HTTP server, not of the engine."""

_BY_CHANCE = {
    "id": "<id>",
    "item_id": "<id>",
    "request_id": "<id>",
    "system_fingerprint": "<fingerprint>",
    "created": "<time>",
    "created_at": "<time>",
    "completed_at": "<time>",
    "text": "<text>",
    "content": "<text>",
    "reasoning": "<text>",
    "token": "<token>",
    "bytes": "<bytes>",
    "logprob": "<number>",
    "rank": "<number>",
    "score": "<number>",
    "sequence_number": "<number>",
    "cumulative_logprob": "<number>",
    "token_logprobs": "<numbers>",
    "top_logprobs": None,
    "tokens": "<tokens>",
    "text_offset": "<numbers>",
    "token_ids": "<tokens>",
    "token_strs": "<tokens>",
    "decoded_token": "<token>",
    "matched_stop": None,
    "stop_reason": "<token>",
}
_GENERATED = ("text", "content", "reasoning")
"""Text that a model may leave empty by chance: a special token or half a character has none."""
_OF_A_TOKEN = ("token", "bytes")
"""Empty as well for a special token or half a character."""
_USAGE = (
    "prompt_tokens",
    "total_tokens",
    "completion_tokens",
    "count",
    "input_tokens",
    "output_tokens",
    "original_input_tokens",
)
_KEPT_IDS = ("base", "a", "b", "c")
"""Names of models in the table: the one kind of `id` that says something."""


class Masker:
    """Masks the answers of one server.

    Args:
        folders: placeholder by real path, such as `{"/tmp/x/loras": "<loras>"}`.
    """

    def __init__(self, folders: Mapping[str, str]) -> None:
        self._folders = sorted(folders.items(), key=lambda item: -len(item[0]))

    def text(self, text: str) -> str:
        """Return `text` without paths, addresses of objects and request ids."""
        for folder, placeholder in self._folders:
            text = text.replace(folder, placeholder)
        text = re.sub(r"0x[0-9a-f]{6,}", "<address>", text)
        text = re.sub(r"http://127\.0\.0\.1:\d+", "<server>", text)
        text = re.sub(r"\b[0-9a-f]{32}\b", "<id>", text)
        text = re.sub(r"\b(cmpl|chatcmpl|resp|msg|tokn|tokenize)-[0-9a-zA-Z-]+", r"\1-<id>", text)
        return re.sub(r"(?<![\w.])/(?:root|usr|opt|home|work|tmp)/[^\s'\"]+", "<path>", text)

    def value(self, value: Any, *, mask_usage: bool = False) -> Any:
        """Return a JSON value with everything replaced that differs by chance."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(item, mask_usage=mask_usage) for item in value]
        if not isinstance(value, dict):
            return value
        return {name: self._member(name, item, mask_usage) for name, item in value.items()}

    def _member(self, name: str, value: Any, mask_usage: bool) -> Any:
        if mask_usage and name in _USAGE and isinstance(value, int):
            return "<number>"
        if name in _OF_A_TOKEN and isinstance(value, str | list):
            return _BY_CHANCE[name]
        if name == "delta" and isinstance(value, dict) and value.get("content") == "" and "role" in value:
            return {**self.value(value), "content": ""}
        if value == "" and name in _GENERATED:
            return "<text>"
        if value is None or value in ("", [], {}) or (name == "id" and value in _KEPT_IDS):
            return value
        if name == "delta" and isinstance(value, str):
            return "<text>"
        if (name == "content" and isinstance(value, list)) or (name == "text" and isinstance(value, dict)):
            return self.value(value, mask_usage=mask_usage)
        if name == "stop_reason" and isinstance(value, str):
            return value
        if name == "prompt_token_ids" and mask_usage:
            return "<tokens>"
        mask = _BY_CHANCE.get(name)
        if mask is not None and not (name == "id" and isinstance(value, str) and value.startswith("<")):
            return mask
        if name == "top_logprobs" and isinstance(value, list):
            return ["<alternatives>" if isinstance(item, dict) else item for item in value]
        if name == "prompt_logprobs" and isinstance(value, list):
            masked = [None if item is None else "<alternatives>" for item in value]
            return masked[:2] if mask_usage else masked
        return self.value(value, mask_usage=mask_usage)

    def events(self, body: str, *, mask_usage: bool) -> list[Any]:
        """Return the events of a stream, masked; equal ones in a row become one, since their number is chance."""
        events: list[Any] = []
        for block in body.split("\n\n"):
            if not block.strip():
                continue
            head, _, rest = block.partition("\n") if block.startswith("event: ") else ("", "", block)
            data = rest.removeprefix("data: ")
            try:
                event: Any = self.value(json.loads(data), mask_usage=mask_usage)
            except ValueError:
                event = self.text(data)
            if head:
                event = {"event": head.removeprefix("event: "), "data": event}
            if not events or events[-1] != event:
                events.append(event)
        return events
