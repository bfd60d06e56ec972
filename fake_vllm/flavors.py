"""What an engine looks like from outside its HTTP face, by dialect: words, list entries, metrics.

Paths and answers are the wire's (`routes.py`, `sglang/routes.py`); this half is what the engine itself needs, so that
neither knows more than one kind of engine.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.lora import Model, card
from fake_vllm.engine.stats import BucketBounds, Metrics, MetricsRenderer
from fake_vllm.sglang import metrics as sglang_metrics
from fake_vllm.sglang.errors import SglangErrorTexts
from fake_vllm.sglang.responses import card as sglang_card
from fake_vllm.vllm import metrics as metricspage
from fake_vllm.vllm.errors import ErrorTexts, VllmErrorTexts


@dataclass(frozen=True, slots=True)
class EngineFlavor:
    """One dialect."""

    errors: ErrorTexts
    card: Callable[[Model, int], dict[str, object]]
    """A model as `GET /v1/models` shows it, and when it says that it was made."""
    buckets: BucketBounds
    renderer: Callable[[EngineConfig, Metrics], MetricsRenderer]


FLAVORS: Mapping[str, EngineFlavor] = {
    "vllm": EngineFlavor(VllmErrorTexts(), card, BucketBounds(), metricspage.VllmMetricsRenderer),
    "sglang": EngineFlavor(SglangErrorTexts(), sglang_card, sglang_metrics.EDGES, sglang_metrics.SglangMetricsRenderer),
}
