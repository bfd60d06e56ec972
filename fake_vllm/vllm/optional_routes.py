"""Routes that a release or a setting of the server decides about.

Ranges are from the documents (`/openapi.json`) and sources of the recorded releases; a release between two of them
counts as the older one.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from fake_vllm.anthropic import serving as messages
from fake_vllm.anthropic.protocol import AnthropicCountTokensRequest, AnthropicMessagesRequest
from fake_vllm.engine.config import EngineConfig
from fake_vllm.http.paths import LOAD_PATH, UNLOAD_PATH
from fake_vllm.openai.flavor import Route
from fake_vllm.openai.protocol.batch import BatchChatCompletionRequest
from fake_vllm.openai.responses_api import serving as responses
from fake_vllm.openai.responses_api.protocol import ResponsesRequest
from fake_vllm.vllm import adapters, endpoints, generation, tokens
from fake_vllm.vllm.development import DEVELOPMENT_ROUTES
from fake_vllm.vllm.protocol import EmbeddingRequest, LoadLoRAAdapterRequest, UnloadLoRAAdapterRequest
from formats.engine_command import ServerArgs
from formats.engine_releases import NEVER, parse_release

_FIRST = (0,)
_RENDERING = (
    *("/v1/chat/completions/render", "/v1/completions/render", "/v1/responses/render", "/v1/messages/render"),
    *("/v1/chat/completions/derender", "/v1/completions/derender"),
)
_SCALE_OUT_SINCE = (0, 32)
"""First release with `--enable-scale-out`; without the flag the routes answer with an error."""


class _Server(NamedTuple):
    """The settings that decide about routes."""

    version: str
    runtime_updating: bool
    args: ServerArgs


@dataclass(frozen=True, slots=True)
class _Optional:
    """A route and when it is there: from release `since` on, before release `until`, if `when` holds."""

    path: str
    route: Route
    since: tuple[int, ...] = _FIRST
    until: tuple[int, ...] = NEVER
    when: Callable[[_Server], bool] = lambda _: True


def _updates(server: _Server) -> bool:
    return server.runtime_updating


def _scales_out(server: _Server) -> bool:
    return server.args.scale_out


_TABLE: tuple[_Optional, ...] = (
    _Optional(LOAD_PATH, Route(("POST",), adapters.load, LoadLoRAAdapterRequest), when=_updates),
    _Optional(UNLOAD_PATH, Route(("POST",), adapters.unload, UnloadLoRAAdapterRequest), when=_updates),
    _Optional("/adapters", Route(("POST",), adapters.register_adapter), (0, 16), when=_updates),
    _Optional("/adapters/{adapter_name}", Route(("DELETE",), adapters.unregister_adapter), (0, 16), when=_updates),
    _Optional(generation.BATCH_PATH, Route(("POST",), generation.batch, BatchChatCompletionRequest), (0, 20)),
    _Optional(generation.INVOCATIONS_PATH, Route(("POST",), generation.invocations)),
    _Optional(responses.PATH, Route(("POST",), responses.create, ResponsesRequest), (0, 10)),
    _Optional(f"{responses.PATH}/{{response_id}}", Route(("GET",), responses.retrieve), (0, 10)),
    _Optional(f"{responses.PATH}/{{response_id}}/cancel", Route(("POST",), responses.cancel), (0, 10)),
    _Optional(messages.PATH, Route(("POST",), messages.create, AnthropicMessagesRequest), (0, 11, 1)),
    _Optional(messages.COUNT_PATH, Route(("POST",), messages.count_tokens, AnthropicCountTokensRequest), (0, 17)),
    _Optional("/v1/embeddings", Route(("POST",), endpoints.embeddings, EmbeddingRequest), until=(0, 16)),
    _Optional("/generative_scoring", Route(("POST",), endpoints.generative_scoring), (0, 20)),
    _Optional(tokens.PATH, Route(("POST",), tokens.generate, tokens.GenerateTokensRequest), (0, 16), (0, 30)),
    _Optional("/scale_elastic_ep", Route(("POST",), endpoints.scale_elastic_ep), (0, 10)),
    _Optional("/is_scaling_elastic_ep", Route(("POST",), endpoints.is_scaling), (0, 10)),
    _Optional("/kv_event_sources", Route(("GET",), endpoints.kv_event_sources), (0, 32)),
    _Optional("/v1/systemone", Route(("POST",), endpoints.structured_decision), (0, 32)),
    *(
        _Optional(path, Route(("POST",), endpoints.scale_out_disabled, documented=False), _SCALE_OUT_SINCE)
        for path in (*_RENDERING, tokens.PATH, tokens.ABORT_PATH)
    ),
    _Optional(
        *(tokens.PATH, Route(("POST",), tokens.generate, tokens.GenerateTokensRequest), _SCALE_OUT_SINCE),
        when=_scales_out,
    ),
    _Optional(tokens.ABORT_PATH, Route(("POST",), endpoints.abort_requests), _SCALE_OUT_SINCE, when=_scales_out),
    *(
        _Optional(path, Route(("POST",), endpoints.rendering_not_built), _SCALE_OUT_SINCE, when=_scales_out)
        for path in _RENDERING
    ),
    *(
        _Optional(path, route, since, when=lambda server: server.args.development)
        for path, (route, since) in DEVELOPMENT_ROUTES.items()
    ),
)


def optional_routes(config: EngineConfig) -> Mapping[str, Route]:
    """Return the optional routes that a server has, by path; `{name}` in a path stands for one segment."""
    return _routes(_Server(config.version, config.runtime_updating, config.server))


def optional_route(config: EngineConfig, path: str) -> Route | None:
    """Return the optional route of a path, None if the server has none."""
    routes = optional_routes(config)
    if path in routes and "{" not in path:
        return routes[path]
    key = next((key for key, pattern in _TEMPLATES if pattern.fullmatch(path)), None)
    return None if key is None else routes.get(key)


@lru_cache(maxsize=64)
def _routes(server: _Server) -> Mapping[str, Route]:
    release = parse_release(server.version)
    present = (entry for entry in _TABLE if entry.since <= release < entry.until and entry.when(server))
    return {entry.path: entry.route for entry in present}


_TEMPLATES = tuple(
    (path, re.compile(re.sub(r"\{\w+\}", "[^/]+", path)))
    for path in dict.fromkeys(entry.path for entry in _TABLE)
    if "{" in path
)
