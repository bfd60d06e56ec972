"""What an engine looks like from outside its HTTP face, by dialect: words, list entries, metrics.

Paths and answers are the wire's (`routes.py`, `sglang/routes.py`); this half is what the engine itself needs, so that
neither knows more than one kind of engine.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.lora import Model, card
from fake_vllm.engine.stats import Edges, Metrics, Page
from fake_vllm.sglang import metrics as sglang_metrics
from fake_vllm.sglang.errors import SglangWords
from fake_vllm.sglang.responses import card as sglang_card
from fake_vllm.vllm import metrics as metricspage
from fake_vllm.vllm.errors import VllmWords, Words


@dataclass(frozen=True, slots=True)
class Manners:
    """One dialect."""

    words: Words
    card: Callable[[Model, int], dict[str, object]]
    """A model as `GET /v1/models` shows it, and when it says that it was made."""
    edges: Edges
    page: Callable[[EngineConfig, Metrics], Page]


MANNERS: Mapping[str, Manners] = {
    "vllm": Manners(VllmWords(), card, Edges(), metricspage.MetricsPage),
    "sglang": Manners(SglangWords(), sglang_card, sglang_metrics.EDGES, sglang_metrics.MetricsPage),
}
