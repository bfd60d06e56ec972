"""vLLM's status, type and text for each error that concerns an adapter (vllm/entrypoints/openai/models/serving.py)."""

from collections.abc import Iterable

from fake_vllm.engine.lora import EngineError

_MIB = 1 << 20
CALL_FAILED = "Call to add_lora method failed: "


class VllmErrorTexts:
    """Implements `ErrorTexts`.

    The server passes on the text of an error in the engine core behind the name of the call (`vllm/v1/engine/core.py`);
    with worker processes their executor wraps it too (`vllm/v1/executor/multiproc_executor.py`).
    """

    def __init__(self, *, worker_processes: bool = False) -> None:
        self._worker_processes = worker_processes

    def incomplete_load(self) -> EngineError:
        return EngineError(400, "InvalidUserInput", "Both 'lora_name' and 'lora_path' must be provided.")

    def already_loaded(self, name: str, *, replaceable: bool) -> EngineError:
        hint = " If you want to load the adapter in place, set 'load_inplace' to True." if replaceable else ""
        return EngineError(400, "InvalidUserInput", f"The lora adapter '{name}' has already been loaded.{hint}")

    def not_found(self, name: str, path: str) -> EngineError:
        return EngineError(404, "NotFoundError", f"Loading lora {name} failed: No adapter found for {path}")

    def lora_disabled(self) -> EngineError:
        return self.load_failed("LoRA is not enabled. Use --enable-lora to enable LoRA.")

    def rank_too_high(self, name: str, rank: int, limit: int) -> EngineError:  # noqa: ARG002 - vLLM does not name it
        return self.load_failed(f"LoRA rank {rank} is greater than max_lora_rank {limit}.")

    def load_failed(self, message: str) -> EngineError:
        if self._worker_processes:
            message = f"Worker failed with error '{message}', please check the stack trace above for the root cause"
        return EngineError(500, "InternalServerError", f"{CALL_FAILED}{message}")

    def out_of_memory(self, size: int) -> EngineError:
        return self.load_failed(f"CUDA out of memory. Tried to allocate {size / _MIB:.2f} MiB.")

    def missing_unload_name(self) -> EngineError:
        return EngineError(400, "InvalidUserInput", "'lora_name' needs to be provided to unload a LoRA adapter.")

    def not_loaded(self, name: str, registered: Iterable[str]) -> EngineError:  # noqa: ARG002 - vLLM does not name them
        return EngineError(404, "NotFoundError", f"The lora adapter '{name}' cannot be found.")

    def base_model_name(self, name: str) -> EngineError:
        return EngineError(400, "InvalidUserInput", f"The lora adapter '{name}' conflicts with a served base model.")
