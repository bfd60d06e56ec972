"""Checks of sampling parameters (sampling/sampling_params.py).

Types were checked by pydantic before. The fake does not sample, so the parameters have no other use.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from fake_vllm.sglang.openai_protocol import SamplingFields

_MAX_CHOICES = 16384  # vLLM, vllm/envs.py: VLLM_MAX_N_SEQUENCES
_RANGES: Mapping[str, tuple[float, float, str]] = {
    "presence_penalty": (-2.0, 2.0, "must be in [-2, 2]"),
    "frequency_penalty": (-2.0, 2.0, "must be in [-2, 2]"),
    "min_p": (0.0, 1.0, "must be in [0, 1]"),
}


class SamplingError(NamedTuple):
    """An error of `SamplingParams`; parameter and value as far as vLLM names them."""

    message: str
    parameter: str | None = None
    value: object = None


def sampling_error(body: SamplingFields, limit: int | None, *, echo: bool = False) -> SamplingError | None:
    """Return the first error, or None; `limit`: maximum number of tokens."""
    return _choices_error(body.n) or _range_error(body) or _randomness_error(body) or _length_error(body, limit, echo)


def _choices_error(n: int) -> SamplingError | None:
    if n < 1:
        return SamplingError(f"n must be at least 1, got {n}.", "n", n)
    if n > _MAX_CHOICES:
        return SamplingError(f"n must be at most {_MAX_CHOICES}, got {n}.", "n", n)
    return None


def _range_error(body: SamplingFields) -> SamplingError | None:
    for field, (low, high, rule) in _RANGES.items():
        value = getattr(body, field)
        if value is not None and not low <= value <= high:
            return SamplingError(f"{field} {rule}, got {value}.")
    return None


def _randomness_error(body: SamplingFields) -> SamplingError | None:
    temperature = 1.0 if body.temperature is None else body.temperature
    if not math.isfinite(temperature):
        return SamplingError(f"temperature must be a finite number, got {temperature}.", "temperature", temperature)
    if temperature < 0:
        return SamplingError(f"temperature must be non-negative, got {temperature}.", "temperature", temperature)
    if body.top_p is not None and not 0 < body.top_p <= 1:
        return SamplingError(f"top_p must be in (0, 1], got {body.top_p}.", "top_p", body.top_p)
    if body.top_k is not None and body.top_k < -1:
        return SamplingError(f"top_k must be 0 (disable), or at least 1, got {body.top_k}.")
    if temperature < 1e-5 and body.n > 1:
        return SamplingError(f"n must be 1 when using greedy sampling, got {body.n}.")
    return None


def _length_error(body: SamplingFields, limit: int | None, echo: bool) -> SamplingError | None:
    if limit is not None and limit < 1 and not (limit == 0 and echo):
        return SamplingError(f"max_tokens must be at least 1, got {limit}.", "max_tokens", limit)
    if body.min_tokens < 0:
        return SamplingError(f"min_tokens must be greater than or equal to 0, got {body.min_tokens}.")
    if limit is not None and body.min_tokens > limit:
        return SamplingError(f"min_tokens must be less than or equal to max_tokens={limit}, got {body.min_tokens}.")
    if "" in body.stop_strings:
        return SamplingError("stop cannot contain an empty string.")
    return None
