"""Settings of one server: the flags and environment variables that make a difference to the fake.

`cli/command_line.py` reads them. Values that the real server refuses are refused here too.
"""

from dataclasses import dataclass, field
from typing import Literal

from fake_vllm.engine.versions import DEFAULT_VERSION, SGLANG, VersionQuirks
from formats.engine_command import DEFAULT_SERVER_ARGS, ServerArgs

DEFAULT_MODEL = "Qwen/Qwen3-0.6B"  # vLLM, vllm/config/model.py
DEFAULT_MODEL_LENGTH = 32768  # tokens; about the value in the default model's configuration
DEFAULT_SEQUENCES = 256  # vLLM, vllm/engine/arg_utils.py: the server's default on GPUs of less than 70 GiB
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # vLLM, vllm/config/lora.py: allowed values of --max-lora-rank

Dialect = Literal["vllm", "sglang"]


class EngineConfigError(ValueError):
    """The real server would not start with this; the message names the flag."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Settings of one server. Sizes in bytes."""

    served_model_names: tuple[str, ...] = ()
    """Names of the base model; the first is every adapter's parent. Default: the model's own name."""
    model: str = DEFAULT_MODEL
    max_model_len: int = DEFAULT_MODEL_LENGTH
    enable_lora: bool = False
    max_loras: int = 1
    max_cpu_loras: int = 0
    """Maximum number of adapters in host memory; 0: as many as `max_loras`."""
    max_num_seqs: int = DEFAULT_SEQUENCES
    """Maximum number of sequences in one batch."""
    max_lora_rank: int = 16
    lora_modules: tuple[tuple[str, str], ...] = ()
    """Adapters that are loaded at startup: name, path."""
    lora_budget: int | None = None
    """Memory for the weights of all adapters; None: no limit."""
    runtime_updating: bool = False
    prefix_caching: bool = True
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    host: str = "0.0.0.0"
    port: int = 8000
    version: str = DEFAULT_VERSION
    dialect: Dialect = "vllm"
    max_listed: int = 0
    """SGLang's `--max-loaded-loras`: maximum number of registered adapters; 0: no limit."""
    metrics: bool = True
    """`/metrics` is served."""
    worker_processes: bool = False
    """vLLM runs the model in processes of their own, as with tensor parallelism; errors then have another text."""
    server: ServerArgs = DEFAULT_SERVER_ARGS
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
        """Flag for adapters that are loaded at startup."""
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
