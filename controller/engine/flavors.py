"""How engines are spoken to, by kind: on which paths vLLM and SGLang load and unload adapters.

What they answer is sorted in `engineerrors.py`, and for the sidecar in `sidecar/engine.py`; listing is the same for
both.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class EngineFlavor:
    """One kind of engine; there is one value of each, so that it is compared and hashed by which it is."""

    name: str
    load: str
    unload: str
    loads_in_place: bool


VLLM = EngineFlavor("vllm", "/v1/load_lora_adapter", "/v1/unload_lora_adapter", loads_in_place=True)
SGLANG = EngineFlavor("sglang", "/load_lora_adapter", "/unload_lora_adapter", loads_in_place=False)
FLAVORS = {flavor.name: flavor for flavor in (VLLM, SGLANG)}
