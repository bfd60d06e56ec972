"""The vocabulary of the conformance table: requests, cases, and the server profiles that they run on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ABSENT: Any = object()
"""Marks a request without a JSON body; None is the JSON value null."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request.

    Attributes:
        json: body, encoded as JSON; or ABSENT.
        content: raw body, used if `json` is ABSENT.
        more_headers: further headers; names may be repeated.
        mask_usage: hide token counts, because the prompt is text and tokenizers differ.
        counts: record the metrics that this request changes beside its answer.
    """

    method: str
    path: str
    json: Any = ABSENT
    content: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    more_headers: tuple[tuple[str, str], ...] = ()
    mask_usage: bool = False
    counts: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """Flags and environment that a server is started with, beside those of every server (see `servers.py`)."""

    name: str
    flags: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    api_key: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """Requests sent one after the other. Every adapter is unloaded before a case begins.

    Attributes:
        name: `group/what-is-asked`.
        steps: all of them are recorded.
        profile: name of the server profile.
    """

    name: str
    steps: tuple[Request, ...]
    profile: str = "lora"


def get(path: str, **headers: str) -> Request:
    return Request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def post(path: str, json: Any = ABSENT, **options: Any) -> Request:
    return Request("POST", path, json, **options)


def load(name: Any = "a", path: Any = "<loras>/l0", **fields: Any) -> Request:
    """A load; `<loras>` in any string of a body stands for the folder of the adapters."""
    return post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": path, **fields})


def unload(name: Any = "a", **fields: Any) -> Request:
    return post("/v1/unload_lora_adapter", {"lora_name": name, **fields})


PROMPT = [11, 12, 13, 14, 15]
"""Token ids that every tokenizer here has."""


def completion(model: str = "base", /, *, counts: bool = False, **fields: Any) -> Request:
    """A completion of three tokens that does not end early; `fields` replace or add to the body's."""
    body = {"model": model, "prompt": PROMPT, "max_tokens": 3, "temperature": 0, "ignore_eos": True, **fields}
    text = isinstance(body["prompt"], str) or (
        isinstance(body["prompt"], list) and any(isinstance(item, str) for item in body["prompt"])
    )
    return post("/v1/completions", _without_absent(body), mask_usage=text, counts=counts)


MESSAGES = [{"role": "user", "content": "hello world"}]


def chat(model: str = "base", /, *, counts: bool = False, **fields: Any) -> Request:
    """A chat completion of three tokens that does not end early."""
    body = {"model": model, "messages": MESSAGES, "max_tokens": 3, "temperature": 0, "ignore_eos": True, **fields}
    return post("/v1/chat/completions", _without_absent(body), mask_usage=True, counts=counts)


ENDED: dict[str, Any] = {"structured_outputs": {"choice": ["y"]}, "ignore_eos": False, "max_tokens": 5}
"""Fields of a request whose answer is one token and the end of the text."""


def _without_absent(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not ABSENT}
