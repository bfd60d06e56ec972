"""Differences of vLLM's OpenAI routes between releases: fields of bodies, checks, shapes of responses.

Facts are from the recordings in tests/conformance/recordings. No other module compares version numbers.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from fake_vllm.openai.request_fields import unknown_fields
from formats.engine_releases import Release, parse_release

_TAIL = {"kv_transfer_params": None, "ec_transfer_params": None, "metrics": None}


@dataclass(frozen=True, slots=True)
class Api:
    """Behavior of one release; the defaults are the newest one's.

    Attributes:
        unknown_fields: fields of request bodies that this release ignores, by the name of their class.
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
        names_places: `param` of an error is the place of the first one in the body.
        repeats_errors: the errors of a body are in the message twice.
        checks_extra_args: numbers in `vllm_xargs` must have 64 bits; others end the engine core's request.
        parses_calls: arguments of tool calls in messages must be JSON.
        video_embeds: messages may have embeddings of films.
        ignores_tool_schemas: a call that has to be made is not constrained by a schema that cannot be used.
        null_top_logprobs: `top_logprobs` of null is 0, not the absence of log-probabilities.
        reserves_output: the tokens that were asked for must fit into the context beside the prompt.
        names_passed: the error of a prompt that is too long begins with its length.
        explains_suffix: the refusal of `suffix` says what it would need.
        guards_media: fields for the processing of media are refused unless the server trusts its clients.
        limits_cache_salt: `cache_salt` has a length and characters that are allowed.
        bounded_fields: the lengths of `cache_salt` and of lists of stop strings are part of their types.
        requires_objects: a body that is no object is refused; before, Python's own error of it is the response.
        explains_grammars: an error in a grammar or schema is the client's; before, it fails the engine core's request.
        null_limit_is_default: `max_tokens` of null is the default of a completion; before, the answer fills the
            context, and then fails.
        null_usage: events of a completion have a usage, even if it is null.
        streams_tokens: answers in tokens can be streamed.
        names_tokens: answers in tokens have their model, time and usage.
        masks_tokens: choices in tokens have a field for the mask of the sampling.
        versions_tokens: choices in tokens tell their mode, and the versions of the weights that made them.
        parses_chats: a parser of tool calls reads every streamed chat, and sends nothing for a token without text.
        fails_messages: an exception in a route of Anthropic's form is an internal error.
        all_logprobs: `logprobs` of a completion may be -1, the whole vocabulary.
        image_detail: images of a response request may leave out their detail.
        cache_writes: usage of a response has the tokens written to the cache.
        joined_logprobs: events at the end of a streamed response have the log-probabilities of all its tokens.
        done_summary: a streamed item that is done has a summary.
        tool_changes: messages of Anthropic's form may add and remove tools.
        names_stop_sequence: responses of Anthropic's form name the stop sequence that ended them.
    """

    unknown_fields: Mapping[str, frozenset[str]] = field(default_factory=dict)
    max_temperature: float = 2.0
    checks_vocabulary: bool = True
    checks_stop_ids: bool = True
    fingerprint: bool = True
    token_ids: bool = True
    prompt_text: bool = True
    head_fields: Mapping[str, None] = field(default_factory=lambda: {"service_tier": None, "system_fingerprint": None})
    tail_fields: Mapping[str, None] = field(default_factory=lambda: _TAIL)
    choice_fields: Mapping[str, None] = field(default_factory=lambda: {"routed_experts": None})
    message_fields: Mapping[str, Any] = field(default_factory=lambda: {"reasoning": None})
    usage_details: Mapping[str, None] = field(default_factory=lambda: {"completion_tokens_details": None})
    wraps_refusals: bool = False
    bounded_errors: bool = True
    names_places: bool = True
    repeats_errors: bool = False
    checks_extra_args: bool = True
    guards_media: bool = True
    parses_calls: bool = False
    video_embeds: bool = True
    ignores_tool_schemas: bool = True
    null_top_logprobs: bool = True
    reserves_output: bool = False
    names_passed: bool = False
    explains_suffix: bool = True
    all_logprobs: bool = True
    limits_cache_salt: bool = True
    bounded_fields: bool = True
    requires_objects: bool = True
    explains_grammars: bool = True
    null_limit_is_default: bool = True
    null_usage: bool = False
    streams_tokens: bool = True
    names_tokens: bool = True
    masks_tokens: bool = True
    versions_tokens: bool = True
    parses_chats: bool = True
    fails_messages: bool = False
    image_detail: bool = True
    cache_writes: bool = True
    joined_logprobs: bool = True
    done_summary: bool = False
    tool_changes: bool = True
    names_stop_sequence: bool = True

    def raw_fields(self, data: Any, class_name: str) -> dict[str, Any] | None:
        """Return a raw body of a request class as `known_fields` does, None if it is no object.

        Raises:
            AttributeError: if it is not an object, in releases whose validators expect one.
        """
        if isinstance(data, dict):
            return self.known_fields(data, class_name)
        if not self.requires_objects:
            raise AttributeError(f"'{type(data).__name__}' object has no attribute 'get'")
        return None

    def known_fields(self, data: dict[str, Any], class_name: str) -> dict[str, Any]:
        """Return a raw body of a request class without the fields that this release ignores."""
        unknown = self.unknown_fields.get(class_name, frozenset())
        if unknown.isdisjoint(data):
            return data
        return {name: value for name, value in data.items() if name not in unknown}


NEWEST = Api()


def api_of(context: object) -> Api:
    """Return the release in a validator's context; the newest one without a context."""
    return context if isinstance(context, Api) else NEWEST


@lru_cache(maxsize=64)
def api(version: str) -> Api:
    """Return the behavior of `version`, such as `0.32.0`.

    From 0.28 on it is recorded; before, read in the sources of 0.16.0, 0.20.2, 0.24.0 and 0.27.1.
    """
    release = parse_release(version)
    if release >= (0, 32):
        return NEWEST
    return Api(
        unknown_fields=unknown_fields(release),
        max_temperature=2.0 if release >= (0, 24) else math.inf,
        checks_vocabulary=release >= (0, 24),
        fingerprint=release >= (0, 24),
        token_ids=release >= (0, 11),
        prompt_text=release >= (0, 24),
        tail_fields=_TAIL if release >= (0, 27) else {"kv_transfer_params": None},
        choice_fields={"routed_experts": None} if release >= (0, 24) else {},
        message_fields=_message_fields(release),
        usage_details={"completion_tokens_details": None} if release >= (0, 28) else {},
        wraps_refusals=release < (0, 27),
        bounded_errors=release >= (0, 30),
        names_places=release >= (0, 24),
        repeats_errors=release < (0, 27),
        checks_stop_ids=release >= (0, 30),
        checks_extra_args=release >= (0, 30),
        guards_media=False,
        parses_calls=release < (0, 30),
        video_embeds=release >= (0, 30),
        ignores_tool_schemas=False,
        null_top_logprobs=False,
        reserves_output=True,
        names_passed=release < (0, 20),
        explains_suffix=False,
        all_logprobs=release >= (0, 30),
        limits_cache_salt=release >= (0, 30),
        bounded_fields=release >= (0, 28),
        requires_objects=release >= (0, 28),
        explains_grammars=release >= (0, 28),
        null_limit_is_default=release >= (0, 24),
        null_usage=release < (0, 24),
        streams_tokens=release >= (0, 20),
        names_tokens=release >= (0, 27),
        masks_tokens=release >= (0, 28),
        versions_tokens=False,
        parses_chats=release >= (0, 24),
        fails_messages=release < (0, 28),
        image_detail=False,
        cache_writes=False,
        joined_logprobs=False,
        done_summary=True,
        tool_changes=False,
        names_stop_sequence=release >= (0, 30),
    )


def _message_fields(release: Release) -> Mapping[str, Any]:
    if release >= (0, 24):
        return {"reasoning": None}
    return {"tool_calls": [], "reasoning" if release >= (0, 16) else "reasoning_content": None}
