"""The parameters of a step-time model that a load test determines, as a vector for a least-squares fit."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fake_vllm.engine.adapters.costs import LoraCosts
from fake_vllm.engine.timing import StepTimeModel
from twin.calibration.fit import Floats
from twin.calibration.step_fit.summary import MeasuredLevel

_LORA = "lora."
_SHARE = "lora.rank_share"
_SMALLEST, _LARGEST = 1e-8, 1e2  # seconds
_SHARE_BOUNDS = (1e-3, 1.0)


def parameter_names(levels: Sequence[MeasuredLevel]) -> list[str]:
    """Return the parameters that these levels say something about."""
    names = ["step_base", "per_sequence", "per_prefill_token", "per_request", "request_latency"]
    most = max(level.level.adapters for level in levels)
    if most:
        names += ["lora.step_base", "lora.per_sequence", "lora.per_prefill_token"]
    if most > 1:
        names.append("lora.per_adapter")
    if any(level.level.adapters > level.test.server.max_loras for level in levels):
        names.append("lora.cpu_to_gpu")
    if any(level.level.adapters > level.test.server.max_cpu_loras for level in levels):
        names.append("lora.disk_to_cpu")
    if most and len({level.test.server.max_lora_rank for level in levels}) > 1:
        names.append(_SHARE)
    return names


def first_guess(names: Sequence[str], lone: tuple[float, float, int], overhead: float) -> Floats:
    """Return a vector to begin with.

    Args:
        names: the parameters.
        lone: seconds to the first token of a lone request for the base model, seconds between its tokens, and its
            prompt in tokens.
        overhead: guessed share of the first in the API server.
    """
    lone_first, lone_between, prompt = lone
    prefill = (1 - overhead) * lone_first / prompt
    guess = {
        "step_base": lone_between,
        "per_sequence": lone_between / 20,
        "per_prefill_token": prefill,
        "per_request": overhead * lone_first / 2,
        "request_latency": overhead * lone_first / 2,
        "lora.step_base": lone_between / 2,
        "lora.per_sequence": lone_between / 20,
        "lora.per_prefill_token": prefill,
        "lora.per_adapter": lone_between / 40,
        "lora.cpu_to_gpu": lone_between / 4,
        "lora.disk_to_cpu": lone_between,
        _SHARE: 0.5,
    }
    low, high = bounds(names)
    return np.clip(np.log([guess[name] for name in names]), low + 1e-6, high - 1e-6)


def bounds(names: Sequence[str]) -> tuple[Floats, Floats]:
    """Return the smallest and the largest vector."""
    pairs = [_SHARE_BOUNDS if name == _SHARE else (_SMALLEST, _LARGEST) for name in names]
    low, high = zip(*pairs, strict=True)
    return np.log(low), np.log(high)


def values_of(names: Sequence[str], vector: Floats) -> dict[str, float]:
    """Return the values of the parameters; the vector has their logarithms, since all are positive."""
    return {name: float(value) for name, value in zip(names, np.exp(vector), strict=True)}


def with_values(base: StepTimeModel, values: Mapping[str, float], rank: int) -> StepTimeModel:
    """Return `base` with these values; `rank` is the `--max-lora-rank` that the costs of adapters are for."""
    own: dict[str, Any] = {name: value for name, value in values.items() if not name.startswith(_LORA)}
    lora: dict[str, Any] = {name.removeprefix(_LORA): value for name, value in values.items() if name.startswith(_LORA)}
    costs = replace(base.lora or LoraCosts(), rank=rank, **lora) if lora else base.lora
    return replace(base, lora=costs, architecture=None, **own)
