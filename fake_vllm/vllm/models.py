"""Entries of `GET /v1/models`: vLLM's `ModelCard` (vllm/entrypoints/openai/engine/protocol.py)."""

from hashlib import blake2b

from fake_vllm.engine.lora import Model


def model_card(model: Model, created: int) -> dict[str, object]:
    """Return the entry of one model; `created`: seconds since 1970."""
    permission = {
        "id": f"modelperm-{blake2b(model.id.encode(), digest_size=16).hexdigest()}",
        "object": "model_permission",
        "created": created,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
    return {
        "id": model.id,
        "object": "model",
        "created": created,
        "owned_by": "vllm",
        "root": model.root,
        "parent": model.parent,
        "max_model_len": model.max_model_len,
        "permission": [permission],
    }
