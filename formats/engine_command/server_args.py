"""Arguments of the HTTP server in front of vLLM's engine (vllm/entrypoints/launchers/cli_args.py, vllm/envs.py)."""

import argparse
import json
from argparse import Namespace
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

ANY = ("*",)
_BALANCED_OUTSIDE = (
    "--data-parallel-external-lb",
    "--data-parallel-rank",
    "--data-parallel-hybrid-lb",
    "--data-parallel-start-rank",
    "--data-parallel-multi-port-external-lb",
)


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
        processes: API server processes.
        shutdown_timeout: seconds that requests have to end after SIGTERM.
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
    processes: int = 1
    shutdown_timeout: int = 0

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
            processes=_processes(values),
            shutdown_timeout=values.shutdown_timeout,
        )


DEFAULT_SERVER_ARGS = ServerArgs()


def add_server_flags(parser: argparse.ArgumentParser, lacking: Collection[str]) -> None:
    """Add the flags of these arguments; `lacking`: flags that only later releases have."""
    parser.add_argument("--allowed-origins", type=_texts)
    parser.add_argument("--allowed-methods", type=_texts, default=ANY)
    parser.add_argument("--allowed-headers", type=_texts, default=ANY)
    parser.add_argument("--root-path", default="")
    parser.add_argument("--api-server-count", "-asc", action="ignored", type=int)
    parser.add_argument("--data-parallel-size", "-dp", action="ignored", type=int, default=1)
    if "shutdown-timeout" in lacking:
        parser.set_defaults(shutdown_timeout=0)
    else:
        parser.add_argument("--shutdown-timeout", type=int, default=0)
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


def _processes(values: Namespace) -> int:
    """Return the number of API servers (`ServeSubcommand.cmd` in vllm/entrypoints/cli/serve.py).

    By default each engine of data parallelism in this pod has one; with a load balancer outside there is one.
    """
    if values.api_server_count is not None:
        return int(values.api_server_count)
    ignored = getattr(values, "ignored", [])
    return 1 if any(flag in ignored for flag in _BALANCED_OUTSIDE) else int(values.data_parallel_size)


def _is_set(env: Mapping[str, str], name: str) -> bool:
    """Return whether a variable holds a number that is not 0, as `bool(int(...))` in vllm/envs.py."""
    return env.get(name, "").strip().lstrip("+-0").isdigit()
