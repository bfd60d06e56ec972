"""What a server was told on its command line and in its environment, as far as the fake minds it.

`cli/command_line.py` reads it there. What the real server refuses to start with is refused here too.
"""

from dataclasses import dataclass, field
from typing import Literal

from fake_vllm.engine.versions import DEFAULT_VERSION, SGLANG, VersionQuirks

DEFAULT_MODEL = "Qwen/Qwen3-0.6B"  # vLLM, vllm/config/model.py
DEFAULT_MODEL_LENGTH = 32768  # tokens; what the default model's own configuration says, roughly
DEFAULT_SEQUENCES = 256  # vLLM, vllm/engine/arg_utils.py: the server's default on GPUs of less than 70 GiB
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # vLLM, vllm/config/lora.py: what --max-lora-rank may be

Dialect = Literal["vllm", "sglang"]


class EngineConfigError(ValueError):
    """The server would refuse to start; the message names the flag."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """One server's settings. Sizes in bytes."""

    served_model_names: tuple[str, ...] = ()
    """Names of the base model; the first is every adapter's parent. The model's own if none are given."""
    model: str = DEFAULT_MODEL
    max_model_len: int = DEFAULT_MODEL_LENGTH
    enable_lora: bool = False
    max_loras: int = 1
    max_cpu_loras: int = 0
    """Adapters kept in host memory; 0 means as many as `max_loras`."""
    max_num_seqs: int = DEFAULT_SEQUENCES
    """Sequences in one batch."""
    max_lora_rank: int = 16
    lora_modules: tuple[tuple[str, str], ...] = ()
    """Adapters that are there from the start: name, path."""
    lora_budget: int | None = None
    """Memory that adapters' weights may take in all."""
    runtime_updating: bool = False
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    host: str = "0.0.0.0"
    port: int = 8000
    version: str = DEFAULT_VERSION
    dialect: Dialect = "vllm"
    max_listed: int = 0
    """SGLang's `--max-loaded-loras`: adapters in the list; 0: as many as come."""
    metrics: bool = True
    """Whether `/metrics` is served."""
    quirks: VersionQuirks = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.served_model_names:
            object.__setattr__(self, "served_model_names", (self.model,))
        if not self.max_cpu_loras:
            object.__setattr__(self, "max_cpu_loras", self.max_loras)
        if not 0 <= self.port <= 65535:
            raise EngineConfigError(f"--port is {self.port}; it must be between 0 and 65535")
        for flag, value in (("--max-num-seqs", self.max_num_seqs), ("--max-model-len", self.max_model_len)):
            if value < 1:
                raise EngineConfigError(f"{flag} is {value}; it must be at least 1")
        if self.dialect == "sglang":
            object.__setattr__(self, "quirks", SGLANG)
            return
        self._check_loras()
        try:
            object.__setattr__(self, "quirks", VersionQuirks.of(self.version))
        except ValueError as error:
            raise EngineConfigError(f"--version: {error}") from error

    @property
    def static_flag(self) -> str:
        """The flag that names adapters which are there from the start."""
        return "--lora-modules" if self.dialect == "vllm" else "--lora-paths"

    def _check_loras(self) -> None:
        if self.max_loras < 1:
            raise EngineConfigError(f"--max-loras is {self.max_loras}; it must be at least 1")
        if self.max_cpu_loras < self.max_loras:
            raise EngineConfigError(
                f"--max-cpu-loras is {self.max_cpu_loras}; it must be at least --max-loras, which is {self.max_loras}"
            )
        if self.max_lora_rank not in RANKS:
            raise EngineConfigError(f"--max-lora-rank is {self.max_lora_rank}; it must be one of {RANKS}")
        if self.lora_modules and not self.enable_lora:
            raise EngineConfigError("--lora-modules needs --enable-lora")
