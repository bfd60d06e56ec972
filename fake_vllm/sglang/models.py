"""Entries of `GET /v1/models`: SGLang's `ModelCard` (entrypoints/openai/protocol.py)."""

from fake_vllm.engine.lora import Model


def model_card(model: Model, created: int) -> dict[str, object]:
    """Return the entry of one model. The root of a base model is its name, not its path."""
    return {
        "id": model.id,
        "object": "model",
        "created": created,
        "owned_by": "sglang",
        "root": model.id if model.parent is None else model.root,
        "parent": model.parent,
        "max_model_len": model.max_model_len,
    }
