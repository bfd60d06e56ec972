"""Requests to an OpenAI-compatible engine and to the runtime sidecar, with mutated bodies, odd paths and headers."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from tests.adversary.asgi import Headers, HttpRequest
from tests.adversary.values import ODD_TEXTS, encoded, mutated, odd_value

Exchange = tuple[str, str, Any]
"""Method, path, valid body."""

_TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
_CHAT = {
    "model": "base",
    "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": [{"type": "text", "text": "a"}]}],
    "max_tokens": 3,
    "temperature": 0.5,
    "top_p": 1.0,
    "n": 1,
    "stop": ["x"],
    "stream": False,
    "stream_options": {"include_usage": True},
    "logprobs": True,
    "top_logprobs": 2,
    "tools": [_TOOL],
    "tool_choice": "none",
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
    "logit_bias": {"1": 1.0},
    "seed": 1,
}
_COMPLETION = {
    "model": "base",
    "prompt": ["a b c", [1, 2, 3]],
    "max_tokens": 3,
    "echo": True,
    "logprobs": 1,
    "stream": True,
    "suffix": "",
    "best_of": 1,
    "truncate_prompt_tokens": 2,
    "min_tokens": 1,
}
ENGINE: Sequence[Exchange] = (
    ("POST", "/v1/completions", _COMPLETION),
    ("POST", "/v1/chat/completions", _CHAT),
    ("POST", "/v1/load_lora_adapter", {"lora_name": "a", "lora_path": "/adapters/a", "load_inplace": False}),
    ("POST", "/v1/unload_lora_adapter", {"lora_name": "a", "lora_int_id": 1}),
    ("POST", "/tokenize", {"model": "base", "prompt": "a b", "add_special_tokens": True}),
    ("POST", "/detokenize", {"model": "base", "tokens": [1, 2]}),
    ("POST", "/v1/embeddings", {"model": "base", "input": ["a"]}),
    ("POST", "/v1/responses", {"model": "base", "input": "a", "stream": False}),
    ("POST", "/score", {"model": "base", "text_1": "a", "text_2": ["b"]}),
    ("POST", "/v1/messages", {"model": "base", "max_tokens": 3, "messages": [{"role": "user", "content": "a"}]}),
    ("POST", "/sleep?level=1", {}),
    ("POST", "/reset_prefix_cache", {}),
    ("GET", "/v1/models", {}),
    ("GET", "/v1/models/base", {}),
    ("GET", "/metrics", {}),
    ("GET", "/health", {}),
    ("GET", "/version", {}),
    ("GET", "/ping", {}),
)
"""Exchanges that vLLM knows, without `/openapi.json`, which takes most of a second for each new engine."""

_CREDENTIALS = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "endpoint": "http://127.0.0.1:1", "host": "h"}
_LOAD = {"lora_name": "a", "artifact_url": "http://127.0.0.1:1/a/", "credentials": {}, "additional_config": {"r": "8"}}
SIDECAR: Sequence[Exchange] = (
    ("POST", "/v1/lora_adapter/load", _LOAD),
    ("POST", "/v1/lora_adapter/load", {**_LOAD, "artifact_url": "/adapters/a", "credentials": {"headers": "{}"}}),
    ("POST", "/v1/lora_adapter/load", {**_LOAD, "artifact_url": "file:///etc", "credentials": _CREDENTIALS}),
    ("POST", "/v1/lora_adapter/unload", {"lora_name": "a", "cleanup_local": True}),
    ("GET", "/v1/models", {}),
    ("GET", "/v1/downloads", {}),
    ("GET", "/healthz", {}),
    ("GET", "/ready", {}),
    ("GET", "/metrics", {}),
    ("GET", "/openapi.json", {}),
)
"""Exchanges that the runtime sidecar knows."""

_URLS = (
    "http://[::1", "http://h:0/a/", "http://h:99999/", "http://:80/", "http://a..b/x/", "http://\u2100/", "http://%41/",
    "http://[fe80::1%25eth0]/a/", "http://169.254.169.254/", "http://[fd00:ec2::254]/", "http://user@h/", "s3://b/k",
    "s3://\u00e9/k/", "hf://a/b@", "gs://b/k/", "tos://bb/k/", "HTTP://127.0.0.1:1/", "http://127.0.0.1:1/\ud800/",
    "http://127.1:1/", "http://0x7f000001:1/a/", "http://1/", "http://a" + "." * 300 + "b/", "http://" + "a" * 64 + "/",
)  # fmt: skip
_HEADERS: Sequence[tuple[bytes, bytes]] = (
    (b"authorization", b"Bearer x"),
    (b"authorization", b"\xff\xfe"),
    (b"content-type", b"text/plain"),
    (b"content-type", b"multipart/form-data; boundary="),
    (b"content-type", b"\xff"),
    (b"content-encoding", b"gzip"),
    (b"content-length", b"-1"),
    (b"accept", b"\x00"),
    (b"origin", b"http://x"),
    (b"x-request-id", b"\xff" * 300),
    (b"user-agent", b"a" * 5000),
)


def engine_requests(rng: Random, exchanges: Sequence[Exchange], count: int) -> Iterator[HttpRequest]:
    """Yield `count` requests; a tenth have another method or path."""
    for _ in range(count):
        method, path, body = rng.choice(exchanges)
        if isinstance(body, dict) and "artifact_url" in body and rng.random() < 0.5:
            body = {**body, "artifact_url": rng.choice((*_URLS, *ODD_TEXTS))}
        body = mutated(rng, body, rng.choice((0, 1, 1, 2, 4)))
        if isinstance(body, dict):
            body = {key: value for key, value in body.items() if key in ("model", "lora_name") or rng.random() < 0.8}
        if rng.random() < 0.1:
            method = rng.choice(("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"))
        if rng.random() < 0.1:
            path = rng.choice(
                ("/", "//", "/v1", "/v1/models/%ff", "/v1/models/..%2f", "/docs", "/_faults", f"{path}/x")
            )
        if rng.random() < 0.05:
            body = odd_value(rng)
        yield HttpRequest(method, path, encoded(rng, body), _headers(rng))


def _headers(rng: Random) -> Headers:
    headers = {b"content-type": b"application/json"}
    if rng.random() < 0.2:
        name, value = rng.choice(_HEADERS)
        headers[name] = value
    return tuple(headers.items())
