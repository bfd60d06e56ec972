"""The part of a server flavor that the engine itself needs: error texts, model cards, metrics.

The engine gets one through its constructor, so it depends on neither vLLM's nor SGLang's package. The table of flavors
is `fake_vllm/flavors.py`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from fake_vllm.engine.config import EngineConfig
from fake_vllm.engine.lora import EngineError, Model
from fake_vllm.engine.stats import BucketBounds, EngineMetrics, MetricsRenderer


class ErrorTexts(Protocol):
    """Status, type and text of each error that concerns an adapter.

    The engine detects an error in one place for every flavor. Clients tell errors apart by their text, which differs.
    """

    def incomplete_load(self) -> EngineError:
        """Name or path of the adapter to load is empty."""

    def already_loaded(self, name: str, *, replaceable: bool) -> EngineError:
        """The name is registered; `replaceable` if this release can load in place."""

    def not_found(self, name: str, path: str) -> EngineError:
        """There is no artifact at the path."""

    def lora_disabled(self) -> EngineError:
        """The server was started without LoRA."""

    def rank_too_high(self, name: str, rank: int, limit: int) -> EngineError:
        """The adapter's rank is above the server's limit."""

    def load_failed(self, message: str) -> EngineError:
        """The weights cannot be used."""

    def out_of_memory(self, size: int) -> EngineError:
        """There is no memory left for weights of `size` bytes."""

    def missing_unload_name(self) -> EngineError:
        """The name of the adapter to unload is empty."""

    def not_loaded(self, name: str, registered: Iterable[str]) -> EngineError:
        """The adapter to unload is not registered."""

    def base_model_name(self, name: str) -> EngineError:
        """The name is one of the base model's."""


@dataclass(frozen=True, slots=True)
class EngineFlavor:
    """Differences between kinds of engines, except for HTTP."""

    errors: ErrorTexts
    model_card: Callable[[Model, int], dict[str, object]]
    """Entry of `GET /v1/models` for a model, given its time of creation."""
    buckets: BucketBounds
    renderer: Callable[[EngineConfig, EngineMetrics], MetricsRenderer]
