"""SGLang's errors: status 400, with the texts of lora/lora_manager.py and lora/lora_registry.py."""

from collections.abc import Iterable

from fake_vllm.engine.lora import EngineError

_MIB = 1 << 20


def bad_request(message: str) -> EngineError:
    """Return an error; in SGLang all have this status and type, and differ only in their text."""
    return EngineError(400, "BadRequestError", message)


class SglangErrorTexts:
    """Errors of the two LoRA routes."""

    def incomplete_load(self) -> EngineError:
        return bad_request("Repo id must be in the form 'repo_name' or 'namespace/repo_name': ''.")  # huggingface_hub's

    def already_loaded(self, name: str, *, replaceable: bool) -> EngineError:  # noqa: ARG002 - SGLang cannot replace one
        return bad_request(f"Failed to load LoRA adapter {name} because it is already loaded")

    def not_found(self, name: str, path: str) -> EngineError:  # noqa: ARG002 - not in SGLang's text
        if path.startswith(("/", ".")):  # huggingface_hub takes a missing folder for a repository
            return bad_request(f"Repo id must be in the form 'repo_name' or 'namespace/repo_name': '{path}'.")
        return bad_request(f"Repository Not Found for url: https://huggingface.co/api/models/{path}/revision/main.")

    def lora_disabled(self) -> EngineError:
        return bad_request("LoRA is not enabled. Please set `--enable-lora` to enable LoRA.")

    def rank_too_high(self, name: str, rank: int, limit: int) -> EngineError:  # noqa: ARG002 - not in SGLang's text
        return bad_request(
            f"LoRA adapter {name} with rank {rank} is incompatible with the current LoRA memory pool configuration."
            " Please ensure that the LoRA adapter's rank is within the configured `--max-lora-rank` and that the"
            " target modules are included in `--lora-target-modules`."
        )

    def load_failed(self, message: str) -> EngineError:
        return bad_request(message)

    def out_of_memory(self, size: int) -> EngineError:
        return bad_request(f"CUDA out of memory. Tried to allocate {size / _MIB:.2f} MiB.")

    def missing_unload_name(self) -> EngineError:
        return self.not_loaded("", ())

    def not_loaded(self, name: str, registered: Iterable[str]) -> EngineError:
        return bad_request(f"LoRA with name {name} does not exist. Loaded LoRAs: odict_keys({list(registered)})")

    def base_model_name(self, name: str) -> EngineError:
        return self.already_loaded(name, replaceable=False)
