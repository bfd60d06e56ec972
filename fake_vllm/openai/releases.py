"""Differences of vLLM's OpenAI routes between releases: fields of bodies, checks, shapes of responses.

Facts are from the recordings in tests/conformance/recordings. No other module compares version numbers.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from formats.engine_releases import parse_release

_TAIL_0_32 = {"kv_transfer_params": None, "ec_transfer_params": None, "metrics": None}


@dataclass(frozen=True, slots=True)
class Api:
    """Behavior of one release; the defaults are the newest one's.

    Attributes:
        unknown_fields: fields of request bodies that this release ignores.
        max_temperature: largest temperature.
        checks_vocabulary: ids in `logit_bias` and `stop_token_ids` must be in the vocabulary.
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
    """

    unknown_fields: frozenset[str] = frozenset()
    max_temperature: float = 2.0
    checks_vocabulary: bool = True
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
        return replace(NEWEST, bounded_errors=release >= (0, 30))
    return Api(
        unknown_fields=frozenset() if release >= (0, 24) else frozenset({"is_3d_lora_weight"}),
        max_temperature=math.inf,
        checks_vocabulary=False,
        fingerprint=False,
        token_ids=release >= (0, 11),
        prompt_text=False,
        tail_fields={"kv_transfer_params": None},
        choice_fields={},
        message_fields={"tool_calls": [], "reasoning_content": None},
        usage_details={},
        wraps_refusals=True,
        bounded_errors=False,
    )
