"""The base model's modules that take LoRA weights, and their sizes: those of Llama, Qwen and Mistral.

Sizes come from the `config.json` of a model in a local folder. Without them shapes are not checked.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "embed_tokens", "lm_head")
"""Target modules of the base model."""
PACKED = (("self_attn", ("q_proj", "k_proj", "v_proj")), ("mlp", ("gate_proj", "up_proj")))
"""Modules that vLLM merges into one (`qkv_proj`, `gate_up_proj`)."""


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes of a base model."""

    hidden: int
    intermediate: int
    query: int
    key_value: int
    vocabulary: int
    layers: int
    max_length: int
    """Positions, in tokens: the highest `--max-model-len`."""

    @classmethod
    def read(cls, model: str) -> "ModelShape | None":
        """Return the sizes of a model in a local folder; None if it is none, or has no usable `config.json`."""
        try:
            content: Any = json.loads((Path(model) / "config.json").read_bytes())
            return cls._of(content.get("text_config") or content)
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None

    @classmethod
    def _of(cls, content: Mapping[str, Any]) -> "ModelShape":
        heads = content["num_attention_heads"]
        size = content.get("head_dim") or content["hidden_size"] // heads
        return cls(
            hidden=content["hidden_size"],
            intermediate=content["intermediate_size"],
            query=heads * size,
            key_value=(content.get("num_key_value_heads") or heads) * size,
            vocabulary=content["vocab_size"],
            layers=content["num_hidden_layers"],
            max_length=content["max_position_embeddings"],
        )

    def modules(self) -> Iterator[tuple[str, int, int]]:
        """Yield name, inputs and outputs of each module, in the order in which vLLM fills them."""
        yield "model.embed_tokens", self.vocabulary, self.hidden
        for layer in range(self.layers):
            prefix = f"model.layers.{layer}"
            yield f"{prefix}.self_attn.q_proj", self.hidden, self.query
            yield f"{prefix}.self_attn.k_proj", self.hidden, self.key_value
            yield f"{prefix}.self_attn.v_proj", self.hidden, self.key_value
            yield f"{prefix}.self_attn.o_proj", self.query, self.hidden
            yield f"{prefix}.mlp.gate_proj", self.hidden, self.intermediate
            yield f"{prefix}.mlp.up_proj", self.hidden, self.intermediate
            yield f"{prefix}.mlp.down_proj", self.intermediate, self.hidden
        yield "lm_head", self.hidden, self.vocabulary


def is_packed(module: str, layers: int | None) -> bool:
    """Return whether a module is merged with others; `layers` of the model, None if not known."""
    parts = module.split(".")
    if len(parts) != 5 or parts[:2] != ["model", "layers"] or not parts[2].isdecimal():
        return False
    if layers is not None and int(parts[2]) >= layers:
        return False
    return any(parts[3] == block and parts[4] in names for block, names in PACKED)
