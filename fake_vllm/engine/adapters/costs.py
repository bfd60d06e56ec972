"""Costs of adapters in an engine: time of a step, reads of weights, and memory of the GPU's LoRA slots.

A step that computes adapters takes longer by a fixed time (one more kernel launch for each layer), by a time for each
further adapter in the batch, and by a time for each token that is computed with an adapter. The time for tokens grows
with the server's `--max-lora-rank`, not with the adapter's own rank: slots are padded to it (vLLM,
vllm/lora/layers/base_linear.py, `create_lora_weights`).
"""

from dataclasses import dataclass, field
from math import inf
from typing import Literal

from fake_vllm.engine.config import EngineConfig

TargetModule = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
TARGET_MODULES: tuple[TargetModule, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_DTYPE_BYTES = 2  # float16 or bfloat16, vLLM's --lora-dtype auto


@dataclass(frozen=True, slots=True)
class LoraCosts:
    """Time that adapters add. Times in seconds."""

    step_base: float = 0.0
    """Added to a step with at least one adapter in the batch."""
    per_adapter: float = 0.0
    """Added for every further adapter in the batch."""
    per_sequence: float = 0.0
    """Added for every sequence with an adapter that gets a token."""
    per_prefill_token: float = 0.0
    """Added for every prompt token with an adapter that the step prefills."""
    rank: int = 16
    """`--max-lora-rank` that these times are for."""
    rank_share: float = 1.0
    """Share of the last two that is proportional to `--max-lora-rank`; the rest does not depend on it."""
    cpu_to_gpu: float = 0.0
    """Delay of a step that copies an adapter from host memory into a GPU slot."""
    disk_to_cpu: float | None = None
    """Delay of a step that reads an evicted adapter from disk; None: as long as a load."""

    def __post_init__(self) -> None:
        for name in ("step_base", "per_adapter", "per_sequence", "per_prefill_token", "cpu_to_gpu", "disk_to_cpu"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < inf:
                raise ValueError(f"{name} is {value}; it must be finite and not negative")
        if self.rank < 1:
            raise ValueError(f"rank is {self.rank}; it must be at least 1")
        if not 0 <= self.rank_share <= 1:
            raise ValueError(f"rank_share is {self.rank_share}; it must be between 0 and 1")

    def at_rank(self, max_lora_rank: int) -> "StepCosts":
        """Return the costs of steps of a server with this `--max-lora-rank` (0: unknown, as measured)."""
        factor = 1 + self.rank_share * (max_lora_rank / self.rank - 1) if max_lora_rank else 1.0
        return StepCosts(self.step_base, self.per_adapter, factor * self.per_sequence, factor * self.per_prefill_token)


NO_COSTS = LoraCosts()


@dataclass(frozen=True, slots=True)
class StepCosts:
    """Additional time of a step of one server, in seconds."""

    step_base: float
    per_adapter: float
    per_sequence: float
    per_prefill_token: float

    def seconds(self, adapters: int, sequences: int, prompt_tokens: int) -> float:
        """Return the addition for a batch with `adapters` distinct adapters, at least one.

        Args:
            adapters: number of distinct adapters in the batch.
            sequences: number of their sequences that are computed.
            prompt_tokens: number of their prompt tokens that are prefilled.
        """
        time = self.step_base + self.per_adapter * (adapters - 1)
        return time + self.per_sequence * sequences + self.per_prefill_token * prompt_tokens


@dataclass(frozen=True, slots=True)
class Architecture:
    """Dimensions of a model, in the words of Hugging Face's `config.json`: they say how large a LoRA slot is.

    A profile has them if its `kv_tokens` is the size of the KV cache without LoRA.
    """

    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    target_modules: tuple[TargetModule, ...] = TARGET_MODULES
    """Modules with LoRA slots: all that the model supports, or those of `--lora-target-modules`."""
    _sizes: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        query, key = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        hidden, inner = self.hidden_size, self.intermediate_size
        sizes = {"q_proj": hidden + query, "k_proj": hidden + key, "v_proj": hidden + key, "o_proj": query + hidden}
        sizes |= {"gate_proj": hidden + inner, "up_proj": hidden + inner, "down_proj": inner + hidden}
        object.__setattr__(self, "_sizes", sizes)
        for name in ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "head_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 1 <= self.num_key_value_heads <= self.num_attention_heads:
            raise ValueError(f"num_key_value_heads is {self.num_key_value_heads}; it must be 1 to num_attention_heads")
        for module in self.target_modules:
            if module not in sizes:
                raise ValueError(f"target_modules has {module!r}; allowed: {', '.join(sizes)}")

    def slot_bytes(self, max_lora_rank: int) -> int:
        """Return the size of one LoRA slot: matrices A and B of every target module in every layer."""
        width = sum(self._sizes[module] for module in self.target_modules)
        return _DTYPE_BYTES * max_lora_rank * width * self.num_hidden_layers

    @property
    def kv_token_bytes(self) -> int:
        """Size of one token in the KV cache: keys and values of every layer."""
        return 2 * _DTYPE_BYTES * self.num_key_value_heads * self.head_dim * self.num_hidden_layers

    def kv_tokens_left(self, kv_tokens: int, config: EngineConfig) -> int:
        """Return the tokens of a KV cache of `kv_tokens` that the LoRA slots of a server leave."""
        if not config.enable_lora:
            return kv_tokens
        slots = config.max_loras * self.slot_bytes(config.max_lora_rank)
        return max(0, kv_tokens - -(-slots // self.kv_token_bytes))
