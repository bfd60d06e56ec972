"""How an engine says no: vLLM's own status, type and text for each thing that can be wrong with an adapter.

What is wrong is found in one place (`listing.py`, `engine.py`) for every kind of engine; how it is said is not, and
clients tell errors apart by it. SGLang's half is `sglang/words.py`.
"""

from collections.abc import Iterable
from typing import Protocol

from fake_vllm.engine.lora import EngineError

_MIB = 1 << 20


class ErrorTexts(Protocol):
    """One engine's way to refuse."""

    def incomplete_load(self) -> EngineError:
        """Name or path is empty."""

    def already_loaded(self, name: str, *, replaceable: bool) -> EngineError:
        """The name is listed already; some releases could replace it."""

    def not_found(self, name: str, path: str) -> EngineError:
        """Nothing is under the path."""

    def lora_disabled(self) -> EngineError:
        """The server was started without LoRA."""

    def rank_too_high(self, name: str, rank: int, limit: int) -> EngineError:
        """The adapter does not fit the slots."""

    def broken(self, said: str) -> EngineError:
        """The weights cannot be used."""

    def out_of_memory(self, size: int) -> EngineError:
        """There is no room for so many bytes."""

    def missing_unload_name(self) -> EngineError:
        """The name to unload is empty."""

    def not_loaded(self, name: str, listed: Iterable[str]) -> EngineError:
        """There is no such adapter to unload."""

    def remove_failed(self, name: str) -> EngineError:
        """The weights to unload have been dropped already."""


class VllmErrorTexts:
    """vllm/entrypoints/openai/models/serving.py, and the engine's texts that it passes on."""

    def incomplete_load(self) -> EngineError:
        return EngineError(400, "InvalidUserInput", "Both 'lora_name' and 'lora_path' must be provided.")

    def already_loaded(self, name: str, *, replaceable: bool) -> EngineError:
        hint = " If you want to load the adapter in place, set 'load_inplace' to True." if replaceable else ""
        return EngineError(400, "InvalidUserInput", f"The lora adapter '{name}' has already been loaded.{hint}")

    def not_found(self, name: str, path: str) -> EngineError:
        return EngineError(404, "NotFoundError", f"Loading lora {name} failed: No adapter found for {path}")

    def lora_disabled(self) -> EngineError:
        return self.broken("LoRA is not enabled. Use --enable-lora to enable LoRA.")

    def rank_too_high(self, name: str, rank: int, limit: int) -> EngineError:  # noqa: ARG002 - vLLM does not name it
        return self.broken(f"LoRA rank {rank} is greater than max_lora_rank {limit}.")

    def broken(self, said: str) -> EngineError:
        return EngineError(500, "InternalServerError", said)

    def out_of_memory(self, size: int) -> EngineError:
        return self.broken(f"CUDA out of memory. Tried to allocate {size / _MIB:.2f} MiB.")

    def missing_unload_name(self) -> EngineError:
        return EngineError(400, "InvalidUserInput", "'lora_name' needs to be provided to unload a LoRA adapter.")

    def not_loaded(self, name: str, listed: Iterable[str]) -> EngineError:  # noqa: ARG002 - vLLM does not list them
        return EngineError(404, "NotFoundError", f"The lora adapter '{name}' cannot be found.")

    def remove_failed(self, name: str) -> EngineError:
        return self.broken(f"Failed to remove lora adapter '{name}' from the engine.")
