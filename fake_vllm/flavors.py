"""Table of the engine flavors. The HTTP half of a flavor is its `ServerFlavor` in `router.py`."""

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.flavor import EngineFlavor
from fake_vllm.engine.stats import BucketBounds
from fake_vllm.sglang.errors import SglangErrorTexts
from fake_vllm.sglang.metrics import BUCKETS as SGLANG_BUCKETS
from fake_vllm.sglang.metrics import SglangMetricsRenderer
from fake_vllm.sglang.models import model_card as sglang_model_card
from fake_vllm.vllm.errors import VllmErrorTexts
from fake_vllm.vllm.metrics import VllmMetricsRenderer
from fake_vllm.vllm.models import model_card as vllm_model_card

_SGLANG = EngineFlavor(SglangErrorTexts(), sglang_model_card, SGLANG_BUCKETS, SglangMetricsRenderer)


def flavor_of(config: EngineConfig) -> EngineFlavor:
    """Return the flavor that the configuration names."""
    if config.dialect == "sglang":
        return _SGLANG
    errors = VllmErrorTexts(
        worker_processes=config.worker_processes, blames_client=config.quirks.blames_client_of_loads
    )
    return EngineFlavor(errors, vllm_model_card, BucketBounds(), VllmMetricsRenderer)
