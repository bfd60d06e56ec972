"""Step-time model: how long one model on one GPU takes for a step of the scheduler.

In each step every decoding sequence gets one token, and the rest of the token budget goes to prefill. A step takes a
fixed time (weights are read from memory once, for any number of sequences), a little for each sequence, and some for
each prefilled token. What adapters add is in `adapters/costs.py`.
"""

from dataclasses import dataclass
from math import inf

from fake_vllm.distributions import Latency, LogNormal
from fake_vllm.engine.adapters.costs import Architecture, LoraCosts
from fake_vllm.engine.config import EngineConfig

_ANSWER = LogNormal(128.0, 512.0)  # tokens; chat answers are a few sentences to a page


@dataclass(frozen=True, slots=True)
class StepTimeModel:
    """Speed of one model on one GPU. Times in seconds."""

    step_base: float = 0.008
    """Duration of a step with one sequence."""
    per_sequence: float = 0.00006
    """Added for every further sequence."""
    per_prefill_token: float = 0.00005
    """Added for every prompt token that the step prefills."""
    per_request: float = 0.0
    """Time of the API server for a request that no other request can use: one request after another."""
    request_latency: float = 0.0
    """Time of HTTP, tokenizing and the way to the scheduler that requests spend side by side."""
    kv_tokens: int = 400_000
    """Size of the KV cache, in tokens."""
    batched_tokens: int = 2048
    """`--max-num-batched-tokens`: token budget of one step."""
    loading_slowdown: float = 1.25
    """Multiplies a step's time while an adapter is being loaded."""
    disk: float = inf
    """Bytes a second at which adapter weights are read, in addition to the load latency."""
    spread: float = 1.0
    """95 % quantile of a step's time over its median; 1 means constant."""
    lora: LoraCosts | None = None
    """Costs of adapters; None if they add nothing."""
    architecture: Architecture | None = None
    """Dimensions of the model, by which LoRA slots take memory from `kv_tokens`; None: they take nothing."""
    answer: LogNormal = _ANSWER
    """Tokens of a response that no limit cuts off."""

    def __post_init__(self) -> None:
        for name in ("step_base", "per_sequence", "per_prefill_token", "per_request", "request_latency"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name} is {value}; it must be finite and not negative")
        if self.step_base + self.per_sequence <= 0:
            raise ValueError("step_base and per_sequence are both 0; a step must take some time")
        for name in ("kv_tokens", "batched_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not self.disk > 0:
            raise ValueError(f"disk is {self.disk}; it must be above 0")
        for name in ("loading_slowdown", "spread"):
            if not 1 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")

    def seconds(self, sequences: int, prompt_tokens: int) -> float:
        """Return the duration of a step."""
        return self.step_base + self.per_sequence * max(0, sequences - 1) + self.per_prefill_token * prompt_tokens

    def kv_tokens_of(self, config: EngineConfig) -> int:
        """Return the size of a server's KV cache, in tokens: what its LoRA slots leave of `kv_tokens`."""
        return self.architecture.kv_tokens_left(self.kv_tokens, config) if self.architecture else self.kv_tokens


DEFAULT_TIMING = StepTimeModel()


@dataclass(frozen=True, slots=True)
class EngineTimes:
    """Durations of one engine's work.

    Attributes:
        load: seconds from an artifact on the pod to a loaded adapter.
        unload: seconds of an unload.
        steps: speed of the model.
    """

    load: Latency
    unload: Latency
    steps: StepTimeModel = DEFAULT_TIMING
