"""What sampling has against a request, in the order in which vLLM's `SamplingParams._verify_args` looks.

pydantic has had its say by then. Nothing of this is used to sample anything: it is checked and forgotten.
"""

import math
from collections.abc import Mapping
from typing import Any

from fake_vllm.http.validation import integer, listing, optional, real
from fake_vllm.http.validation import string as text

SamplingError = tuple[str, str | None, object]
"""Message, parameter, value."""
_MOST_CHOICES = 16384  # vLLM, vllm/envs.py: VLLM_MAX_N_SEQUENCES
_RANGES: Mapping[str, tuple[float, float, str]] = {
    "presence_penalty": (-2.0, 2.0, "must be in [-2, 2]"),
    "frequency_penalty": (-2.0, 2.0, "must be in [-2, 2]"),
    "min_p": (0.0, 1.0, "must be in [0, 1]"),
}


def complaint(body: dict[str, Any], limit: int | None) -> SamplingError | None:
    """The first thing that `SamplingParams._verify_args` would say."""
    n = optional(body, "n", integer, 1)
    if n < 1:
        return f"n must be at least 1, got {n}.", "n", n
    if n > _MOST_CHOICES:
        return f"n must be at most {_MOST_CHOICES}, got {n}.", "n", n
    for field, (low, high, rule) in _RANGES.items():
        value = optional(body, field, real, None)
        if value is not None and not low <= value <= high:
            return f"{field} {rule}, got {value}.", None, None
    return _temperature(body) or _lengths(body, limit) or _empty_stop(body)


def _temperature(body: dict[str, Any]) -> SamplingError | None:
    value = optional(body, "temperature", real, 1.0)
    if not math.isfinite(value):
        return f"temperature must be a finite number, got {value}.", "temperature", value
    if value < 0:
        return f"temperature must be non-negative, got {value}.", "temperature", value
    top_p = optional(body, "top_p", real, 1.0)
    if not 0 < top_p <= 1:
        return f"top_p must be in (0, 1], got {top_p}.", "top_p", top_p
    top_k = optional(body, "top_k", integer, 0)
    if top_k < -1:
        return f"top_k must be 0 (disable), or at least 1, got {top_k}.", None, None
    n = optional(body, "n", integer, 1)
    if value < 1e-5 and n > 1:
        return f"n must be 1 when using greedy sampling, got {n}.", None, None
    return None


def _lengths(body: dict[str, Any], limit: int | None) -> SamplingError | None:
    least = optional(body, "min_tokens", integer, 0)
    if limit is not None and limit < 1 and not (limit == 0 and body.get("echo")):
        return f"max_tokens must be at least 1, got {limit}.", "max_tokens", limit
    if least < 0:
        return f"min_tokens must be greater than or equal to 0, got {least}.", None, None
    if limit is not None and least > limit:
        return f"min_tokens must be less than or equal to max_tokens={limit}, got {least}.", None, None
    return None


def _empty_stop(body: dict[str, Any]) -> SamplingError | None:
    return ("stop cannot contain an empty string.", None, None) if "" in stops(body) else None


def stops(body: dict[str, Any]) -> tuple[str, ...]:
    """The stop strings that a body names."""
    stop = body.get("stop")
    if stop is None:
        return ()
    if isinstance(stop, str):
        return (stop,)
    return tuple(text("stop", each) for each in listing("stop", stop))
