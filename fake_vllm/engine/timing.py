"""How fast an engine computes: what `batch.py` needs to know of model and GPU.

An engine works in steps. In each, every sequence of the batch gets one token, and what is left of the token
budget goes to prompts that are still being read. A step costs a fixed time (the weights are read from memory
once, however many sequences there are), a little for each sequence, and time for each prompt token.
"""

from dataclasses import dataclass
from math import inf

from fake_vllm.distributions import LogNormal

_ANSWER = LogNormal(128.0, 512.0)  # tokens; chat answers are a few sentences to a page


@dataclass(frozen=True, slots=True)
class StepTimeModel:
    """One model on one GPU. Times in seconds."""

    step_base: float = 0.008
    """A step with one sequence in the batch."""
    per_sequence: float = 0.00006
    """More for every further sequence."""
    per_prefill_token: float = 0.00005
    """More for every prompt token that the step reads."""
    kv_tokens: int = 400_000
    """Tokens for which there is room in the KV cache."""
    batched_tokens: int = 2048
    """`--max-num-batched-tokens`: what one step may compute at most."""
    loading_slowdown: float = 1.25
    """Multiplies a step's time while an adapter is being loaded."""
    disk: float = inf
    """Bytes a second at which weights of adapters are read, beside what a load takes anyway."""
    spread: float = 1.0
    """95 % quantile of a step's time over its median; 1 is none."""
    answer: LogNormal = _ANSWER
    """Tokens of an answer that nothing cuts off."""

    def __post_init__(self) -> None:
        for name in ("step_base", "per_sequence", "per_prefill_token"):
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
        """How long a step takes."""
        return self.step_base + self.per_sequence * max(0, sequences - 1) + self.per_prefill_token * prompt_tokens


DEFAULT_TIMING = StepTimeModel()
