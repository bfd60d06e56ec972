"""Differences of vLLM's OpenAI routes between releases: fields of bodies, checks, shapes of responses.

Facts are from the recordings in tests/conformance/recordings. No other module compares version numbers.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from formats.engine_releases import Release, parse_release

_TAIL_0_32 = {"kv_transfer_params": None, "ec_transfer_params": None, "metrics": None}


@dataclass(frozen=True, slots=True)
class Api:
    """Behavior of one release; the defaults are the newest one's.

    Attributes:
        unknown_fields: fields of request bodies that this release ignores.
        max_temperature: largest temperature.
        checks_vocabulary: ids in `logit_bias` must be in the vocabulary.
        checks_stop_ids: ids in `stop_token_ids` must be in the vocabulary too.
        fingerprint: responses have a `system_fingerprint`.
        token_ids: responses have fields for token ids.
        prompt_text: responses of chats have a field for the prompt.
        head_fields: fields of a response between its choices and its usage.
        tail_fields: fields at the end of a response.
        choice_fields: fields at the end of each choice.
        message_fields: fields at the end of a chat's message.
        usage_details: fields at the end of a usage.
        wraps_refusals: a validator's refusal is worded like an error of pydantic.
        bounded_errors: places in errors are readable, and inputs are not quoted in full.
        reserves_output: the tokens that were asked for must fit into the context beside the prompt.
        explains_suffix: the refusal of `suffix` says what it would need.
        guards_media: fields for the processing of media are refused unless the server trusts its clients.
        limits_cache_salt: `cache_salt` has a length and characters that are allowed.
    """

    unknown_fields: frozenset[str] = frozenset()
    max_temperature: float = 2.0
    checks_vocabulary: bool = True
    checks_stop_ids: bool = True
    fingerprint: bool = True
    token_ids: bool = True
    prompt_text: bool = True
    head_fields: Mapping[str, None] = field(default_factory=lambda: {"service_tier": None, "system_fingerprint": None})
    tail_fields: Mapping[str, None] = field(default_factory=lambda: _TAIL_0_32)
    choice_fields: Mapping[str, None] = field(default_factory=lambda: {"routed_experts": None})
    message_fields: Mapping[str, Any] = field(default_factory=lambda: {"reasoning": None})
    usage_details: Mapping[str, None] = field(default_factory=lambda: {"completion_tokens_details": None})
    wraps_refusals: bool = False
    bounded_errors: bool = True
    reserves_output: bool = False
    explains_suffix: bool = True
    guards_media: bool = True
    limits_cache_salt: bool = True

    def known_fields(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return a raw body without the fields that this release ignores."""
        if self.unknown_fields.isdisjoint(data):
            return data
        return {name: value for name, value in data.items() if name not in self.unknown_fields}


NEWEST = Api()


def api_of(context: object) -> Api:
    """Return the release in a validator's context; the newest one without a context."""
    return context if isinstance(context, Api) else NEWEST


@lru_cache(maxsize=64)
def api(version: str) -> Api:
    """Return the behavior of `version`, such as `0.32.0`."""
    release = parse_release(version)
    if release >= (0, 28):
        return _of_2026(release)
    return Api(
        unknown_fields=frozenset() if release >= (0, 24) else frozenset({"is_3d_lora_weight"}),
        max_temperature=math.inf,
        checks_vocabulary=False,
        checks_stop_ids=False,
        fingerprint=False,
        token_ids=release >= (0, 11),
        prompt_text=False,
        tail_fields={"kv_transfer_params": None},
        choice_fields={},
        message_fields={"tool_calls": [], "reasoning_content": None},
        usage_details={},
        wraps_refusals=True,
        reserves_output=True,
        explains_suffix=False,
        guards_media=False,
        limits_cache_salt=False,
        bounded_errors=False,
    )


def _of_2026(release: Release) -> Api:
    """Return what changed from 0.28 to 0.30, and from there to 0.32; 0.29 and 0.31 were not recorded."""
    since_30, since_32 = release >= (0, 30), release >= (0, 32)
    return replace(
        NEWEST,
        bounded_errors=since_30,
        checks_stop_ids=since_30,
        limits_cache_salt=since_30,
        reserves_output=not since_32,
        explains_suffix=since_32,
        guards_media=since_32,
    )
