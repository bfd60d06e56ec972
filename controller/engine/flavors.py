"""Differences between the APIs of vLLM and SGLang: paths for loading and unloading adapters. Listing is the same."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class EngineFlavor:
    """One kind of engine. There is one value per kind, compared and hashed by identity."""

    name: str
    load: str
    unload: str


VLLM = EngineFlavor("vllm", "/v1/load_lora_adapter", "/v1/unload_lora_adapter")
SGLANG = EngineFlavor("sglang", "/load_lora_adapter", "/unload_lora_adapter")
FLAVORS = {flavor.name: flavor for flavor in (VLLM, SGLANG)}
