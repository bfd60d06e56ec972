"""Arguments of the HTTP server in front of vLLM's engine (vllm/entrypoints/launchers/cli_args.py, vllm/envs.py)."""

import argparse
import json
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ANY = ("*",)


@dataclass(frozen=True, slots=True)
class ServerArgs:
    """Arguments that change routes, headers or CORS.

    Attributes:
        allowed_origins: None: the release's default.
        request_ids: add `X-Request-Id` to every response.
        documents: serve `/docs`, `/redoc` and `/openapi.json`.
        scale_out: serve the endpoints that split prompt, generation and text over servers.
        development: serve the routes of `VLLM_SERVER_DEV_MODE`.
        store_responses: keep responses of `/v1/responses` (`VLLM_ENABLE_RESPONSES_API_STORE`).
    """

    allowed_origins: tuple[str, ...] | None = None
    allowed_methods: tuple[str, ...] = ANY
    allowed_headers: tuple[str, ...] = ANY
    allow_credentials: bool = False
    root_path: str = ""
    request_ids: bool = False
    documents: bool = True
    scale_out: bool = False
    development: bool = False
    store_responses: bool = False

    @classmethod
    def from_namespace(cls, values: Namespace, env: Mapping[str, str]) -> "ServerArgs":
        """Return the arguments that vLLM's parser has parsed."""
        return cls(
            allowed_origins=values.allowed_origins,
            allowed_methods=values.allowed_methods,
            allowed_headers=values.allowed_headers,
            allow_credentials=values.allow_credentials,
            root_path=values.root_path.rstrip("/"),
            request_ids=values.enable_request_id_headers,
            documents=not values.disable_fastapi_docs,
            scale_out=values.enable_scale_out,
            development=_is_set(env, "VLLM_SERVER_DEV_MODE"),
            store_responses=_is_set(env, "VLLM_ENABLE_RESPONSES_API_STORE"),
        )


DEFAULT_SERVER_ARGS = ServerArgs()


def add_server_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of these arguments."""
    parser.add_argument("--allowed-origins", type=_texts)
    parser.add_argument("--allowed-methods", type=_texts, default=ANY)
    parser.add_argument("--allowed-headers", type=_texts, default=ANY)
    parser.add_argument("--root-path", default="")
    for name in ("allow-credentials", "enable-request-id-headers", "disable-fastapi-docs", "enable-scale-out"):
        parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=False)


def _texts(text: str) -> tuple[str, ...]:
    try:
        value: Any = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON list of texts")
    return tuple(value)


def _is_set(env: Mapping[str, str], name: str) -> bool:
    """Return whether a variable holds a number that is not 0, as `bool(int(...))` in vllm/envs.py."""
    return env.get(name, "").strip().lstrip("+-0").isdigit()
