"""How SGLang says no: always 400, in the texts of lora/lora_manager.py and lora/lora_registry.py."""

from collections.abc import Iterable

from fake_vllm.engine.lora import EngineFault

_MIB = 1 << 20


def refused(message: str) -> EngineFault:
    """SGLang tells errors apart by their text alone."""
    return EngineFault(400, "BadRequestError", message)


class SglangWords:
    """The refusals of the two LoRA routes."""

    def incomplete_load(self) -> EngineFault:
        return refused("Repo id must be in the form 'repo_name' or 'namespace/repo_name': ''.")  # huggingface_hub's

    def taken(self, name: str, *, replaceable: bool) -> EngineFault:  # noqa: ARG002 - it never is
        return refused(f"Failed to load LoRA adapter {name} because it is already loaded")

    def not_found(self, name: str, path: str) -> EngineFault:  # noqa: ARG002 - SGLang does not name it
        if path.startswith(("/", ".")):  # huggingface_hub takes what is no folder for a repository
            return refused(f"Repo id must be in the form 'repo_name' or 'namespace/repo_name': '{path}'.")
        return refused(f"Repository Not Found for url: https://huggingface.co/api/models/{path}/revision/main.")

    def lora_off(self) -> EngineFault:
        return refused("LoRA is not enabled. Please set `--enable-lora` to enable LoRA.")

    def rank_too_high(self, name: str, rank: int, limit: int) -> EngineFault:  # noqa: ARG002 - nor the limit
        return refused(
            f"LoRA adapter {name} with rank {rank} is incompatible with the current LoRA memory pool configuration."
            " Please ensure that the LoRA adapter's rank is within the configured `--max-lora-rank` and that the"
            " target modules are included in `--lora-target-modules`."
        )

    def broken(self, said: str) -> EngineFault:
        return refused(said)

    def no_memory(self, size: int) -> EngineFault:
        return refused(f"CUDA out of memory. Tried to allocate {size / _MIB:.2f} MiB.")

    def nameless_unload(self) -> EngineFault:
        return self.not_listed("", ())

    def not_listed(self, name: str, listed: Iterable[str]) -> EngineFault:
        return refused(f"LoRA with name {name} does not exist. Loaded LoRAs: odict_keys({list(listed)})")

    def not_removed(self, name: str) -> EngineFault:
        return self.not_listed(name, ())
