"""Checks of sampling parameters, in the order of vLLM's `SamplingParams` (vllm/sampling_params.py).

Types were checked by pydantic before. `check_params` is what the server checks before it starts a response,
`check_by_model` what the engine core checks, which a stream reports as an event. The fake does not sample, so most of
the parameters have no other use.
"""

import math
from collections.abc import Mapping

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.lora import EngineError
from fake_vllm.http.validation import VLLMValidationError
from fake_vllm.openai import tokenizer
from fake_vllm.openai.protocol.base import stop_strings
from fake_vllm.openai.protocol.chat_completion import ChatCompletionRequest
from fake_vllm.openai.protocol.completion import CompletionRequest
from fake_vllm.openai.releases import Api

MAX_CHOICES = 16384  # vLLM, vllm/envs.py: VLLM_MAX_N_SEQUENCES
_MAX_LOGPROB_TOKENS = 128  # vLLM, vllm/sampling_params.py: MAX_LOGPROB_TOKEN_IDS

Body = CompletionRequest | ChatCompletionRequest


def check_params(body: Body, max_tokens: int, api: Api) -> None:
    """Check the parameters by themselves; `max_tokens`: what is left of the context, or the request's own limit.

    Raises:
        VLLMValidationError: for the first that is wrong.
    """
    _check_logit_bias_keys(body.logit_bias)
    _check_choices(1 if body.n is None else body.n)
    _check_extra_args(body, api)
    _check_penalties(body)
    check_temperature(body, api)
    _check_randomness(body)
    _check_lengths(body, max_tokens)
    _check_logprobs(body)
    _check_words(body)
    if _temperature(body) == 0 and (body.n or 1) > 1:  # a smaller one than 0.01 counts as 0.01
        raise VLLMValidationError(f"n must be 1 when using greedy sampling, got {body.n}.")


def check_by_model(body: Body, config: EngineConfig, api: Api) -> None:
    """Check the parameters against the model's vocabulary and the server's limits.

    Raises:
        VLLMValidationError: for the first that is wrong.
        EngineError: if they cannot be sent to the engine core, in releases that do not check them.
    """
    size = config.frontend.vocab_size
    _check_logprob_counts(body, config)
    if api.checks_vocabulary:
        _check_logit_bias_ids(body.logit_bias, size)
    if api.checks_stop_ids:
        _check_ids("stop_token_ids", body.stop_token_ids or [], size)
    elif not all(map(_can_be_sent, body.stop_token_ids or ())):
        raise _not_sent()
    _check_allowed_tokens(body.allowed_token_ids, size)


def logprob_count(body: Body) -> int | None:
    """Return the number of alternatives to each token, None without log-probabilities."""
    given = body.logprobs if isinstance(body, CompletionRequest) else body.top_logprobs if body.logprobs else None
    return len(body.logprob_token_ids) if body.logprob_token_ids and given is not None else given


def prompt_logprob_count(body: Body) -> int | None:
    """Return the number of alternatives to each token of the prompt, None without log-probabilities."""
    if body.prompt_logprobs is not None or not body.echo:
        return body.prompt_logprobs
    return body.top_logprobs if isinstance(body, ChatCompletionRequest) else body.logprobs


def _temperature(body: Body) -> float:
    return 1.0 if body.temperature is None else body.temperature


def _check_logit_bias_keys(bias: Mapping[str, float] | None) -> None:
    invalid = [key for key in bias or () if not _is_whole(key)]
    if invalid:
        raise VLLMValidationError(
            f"logit_bias contains key(s) that cannot be converted to integer token IDs: {invalid!r}",
            parameter="logit_bias",
            value=invalid,
        )


def _is_whole(key: str) -> bool:
    try:
        int(key)
    except ValueError:
        return False
    return True


def _check_choices(n: int) -> None:
    if n < 1:
        raise VLLMValidationError(f"n must be at least 1, got {n}.")
    if n > MAX_CHOICES:
        raise VLLMValidationError(
            f"n must be at most {MAX_CHOICES}, got {n}. To increase this limit, set the VLLM_MAX_N_SEQUENCES"
            " environment variable."
        )


def _check_extra_args(body: Body, api: Api) -> None:
    pending: list[object] = [body.vllm_xargs, body.kv_transfer_params, body.ec_transfer_params]
    while pending:
        value = pending.pop()
        if isinstance(value, int) and not _can_be_sent(value):
            if not api.checks_extra_args:
                raise _not_sent()
            raise VLLMValidationError(
                "extra_args integers must be between -2**63 and 2**64 - 1.", parameter="extra_args"
            )
        if isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, list):
            pending += value


def _can_be_sent(value: int) -> bool:
    """Return whether the API server can encode a number for the engine core."""
    return -(2**63) <= value < 2**64


def _not_sent() -> EngineError:
    """Return the error of a request that cannot be encoded for the engine core."""
    return EngineError(500, "InternalServerError", "")


def _check_penalties(body: Body) -> None:
    for field in ("presence_penalty", "frequency_penalty"):
        value = getattr(body, field)
        if value is not None and not -2.0 <= value <= 2.0:
            raise VLLMValidationError(f"{field} must be in [-2, 2], got {value}.")
    repetition = 1.0 if body.repetition_penalty is None else body.repetition_penalty
    if not math.isfinite(repetition):
        raise VLLMValidationError(f"repetition_penalty must be a finite number, got {repetition}.")
    if repetition <= 0:
        raise VLLMValidationError(f"repetition_penalty must be greater than zero, got {repetition}.")


def check_temperature(body: Body, api: Api) -> None:
    """Check the temperature.

    Raises:
        VLLMValidationError: if it is not a number between the limits.
    """
    temperature = _temperature(body)
    message = ""
    if not math.isfinite(temperature):
        message = f"temperature must be a finite number, got {temperature}."
    elif temperature < 0:
        message = f"temperature must be non-negative, got {temperature}."
    elif temperature > api.max_temperature:
        message = f"temperature must be in [0, 2], got {temperature}."
    if message:
        raise VLLMValidationError(message, parameter="temperature", value=temperature)


def _check_randomness(body: Body) -> None:
    if body.top_p is not None and not 0 < body.top_p <= 1:
        raise VLLMValidationError(f"top_p must be in (0, 1], got {body.top_p}.", parameter="top_p", value=body.top_p)
    if body.top_k is not None and body.top_k < -1:
        raise VLLMValidationError(f"top_k must be 0 (disable), or at least 1, got {body.top_k}.")
    if body.min_p is not None and not 0 <= body.min_p <= 1:
        raise VLLMValidationError(f"min_p must be in [0, 1], got {body.min_p}.")


def _check_lengths(body: Body, limit: int) -> None:
    if limit < 1:
        raise VLLMValidationError(f"max_tokens must be at least 1, got {limit}.", parameter="max_tokens", value=limit)
    if body.min_tokens < 0:
        raise VLLMValidationError(f"min_tokens must be greater than or equal to 0, got {body.min_tokens}.")
    if body.min_tokens > limit:
        raise VLLMValidationError(
            f"min_tokens must be less than or equal to max_tokens={limit}, got {body.min_tokens}."
        )


def _check_logprobs(body: Body) -> None:
    for name, value in (("logprobs", logprob_count(body)), ("prompt_logprobs", prompt_logprob_count(body))):
        if value is not None and value != -1 and value < 0:
            raise VLLMValidationError(f"{name} must be non-negative or -1, got {value}.", parameter=name, value=value)


def check_reasoning(body: Body) -> None:
    """Check that there is no limit to reasoning, which the fake never does.

    Raises:
        VLLMValidationError: if there is one, as on a server without a parser of reasoning.
    """
    if body.thinking_token_budget is not None:
        raise VLLMValidationError(
            "thinking_token_budget is set but reasoning_config is not configured. Please set --reasoning-parser"
            " and/or --reasoning-config to use thinking_token_budget."
        )


def check_by_prompt(body: Body, length: int) -> None:
    """Check what depends on the prompt, of `length` tokens, or needs the tokenizer.

    Raises:
        VLLMValidationError: for the first value that is wrong.
    """
    if body.routed_experts_prompt_start > length:
        raise VLLMValidationError(
            f"routed_experts_prompt_start must be between 0 and the prompt length ({length}), inclusive.",
            parameter="routed_experts_prompt_start",
            value=body.routed_experts_prompt_start,
        )
    if any(not word.lstrip() for word in body.bad_words):
        words = list(dict.fromkeys(body.bad_words))
        raise VLLMValidationError(
            "bad_words entries must tokenize to at least one token.", parameter="bad_words", value=words
        )


def _check_words(body: Body) -> None:
    if "" in stop_strings(body.stop):
        raise VLLMValidationError("stop cannot contain an empty string.")
    if "" in body.bad_words:
        words = list(dict.fromkeys(body.bad_words))
        raise VLLMValidationError(f"bad_words cannot contain an empty string. Got bad_words={words}")


def _check_logprob_counts(body: Body, config: EngineConfig) -> None:
    counts = (
        ("sample", "logprobs", None if body.logprob_token_ids else logprob_count(body)),
        ("prompt", "prompt_logprobs", prompt_logprob_count(body)),
    )
    for kind, parameter, count in counts:
        check_logprob_limit(kind, parameter, count or 0, config)
        if kind == "sample" and body.logprob_token_ids:
            _check_logprob_tokens(body.logprob_token_ids, config.frontend.vocab_size)


def check_logprob_limit(kind: str, parameter: str, count: int, config: EngineConfig) -> None:
    """Check a number of log-probabilities; -1 stands for the whole vocabulary.

    Raises:
        VLLMValidationError: if the server allows fewer.
    """
    size = config.frontend.vocab_size
    limit = size if config.frontend.max_logprobs == -1 else config.frontend.max_logprobs
    requested = size if count == -1 else count
    if requested > limit:
        raise VLLMValidationError(
            f"Requested {kind} logprobs of {requested}, which is greater than max allowed: {limit}",
            parameter=parameter,
            value=requested,
        )


def _check_logprob_tokens(ids: list[int], size: int) -> None:
    if len(ids) > _MAX_LOGPROB_TOKENS:
        raise VLLMValidationError(
            f"Requested logprob_token_ids of length {len(ids)}, which is greater than max allowed:"
            f" {_MAX_LOGPROB_TOKENS}",
            parameter="logprob_token_ids",
            value=len(ids),
        )
    _check_ids("logprob_token_ids", ids, size)


def _check_logit_bias_ids(bias: Mapping[str, float] | None, size: int) -> None:
    _check_ids("logit_bias", [int(key) for key in bias or ()], size)


def _check_ids(parameter: str, ids: list[int], size: int) -> None:
    unknown = _unknown(ids, size)
    if unknown:
        raise VLLMValidationError(
            f"token_id(s) {unknown} in {parameter} contain out-of-vocab token ids. Vocabulary size: {size}",
            parameter=parameter,
            value=unknown,
        )


def _check_allowed_tokens(ids: list[int] | None, size: int) -> None:
    if ids is None:
        return
    if not ids:
        raise VLLMValidationError("allowed_token_ids is not None and empty!", parameter="allowed_token_ids", value=ids)
    if unknown := _unknown(ids, size):
        raise VLLMValidationError(
            "allowed_token_ids contains out-of-vocab token id!", parameter="allowed_token_ids", value=unknown
        )


def _unknown(ids: list[int], size: int) -> list[int]:
    """Return the ids that are neither in the model's vocabulary nor the fake's own."""
    return [token for token in dict.fromkeys(ids) if not 0 <= token < size and not tokenizer.is_own(token)]
