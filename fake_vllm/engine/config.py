"""Settings of one server: the flags and environment variables that make a difference to the fake.

`cli/command_line.py` reads them. Values that the real server refuses are refused here too.
"""

from dataclasses import dataclass, field
from typing import Literal

from fake_vllm.engine.versions import DEFAULT_VERSION, SGLANG, VersionQuirks
from formats.engine_command import DEFAULT_SERVER_ARGS, ServerArgs

DEFAULT_MODEL = "Qwen/Qwen3-0.6B"  # vLLM, vllm/config/model.py
DEFAULT_MODEL_LENGTH = 32768  # tokens; about the value in the default model's configuration
DEFAULT_VOCABULARY = 151936  # tokens; of the default model's configuration
DEFAULT_SEQUENCES = 256  # vLLM, vllm/engine/arg_utils.py: the server's default on GPUs of less than 70 GiB

Dialect = Literal["vllm", "sglang"]


class EngineConfigError(ValueError):
    """The real server would not start with this; the message is its own.

    Attributes:
        flag: the flag that causes it; empty if no single one does.
        exit_code: of the process: 2 for a command line that cannot be parsed, 1 otherwise.
        hint: what the user may have meant; not part of the real server's message.
    """

    def __init__(self, message: str, *, flag: str = "", exit_code: int = 1, hint: str = "") -> None:
        super().__init__(message)
        self.flag = flag
        self.exit_code = exit_code
        self.hint = hint


@dataclass(frozen=True, slots=True)
class FrontendConfig:
    """Settings of the OpenAI routes.

    Attributes:
        vocab_size: tokens in the model's vocabulary.
        max_logprobs: largest number of alternatives to a token; -1: the whole vocabulary.
        tool_call_parser: parser of tool calls; empty: the server reads none.
        trust_request_chat_template: requests may bring a chat template.
    """

    vocab_size: int = DEFAULT_VOCABULARY
    max_logprobs: int = 20  # vLLM, vllm/config/model.py
    tool_call_parser: str = ""
    trust_request_chat_template: bool = False


DEFAULT_FRONTEND = FrontendConfig()


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
    frontend: FrontendConfig = DEFAULT_FRONTEND
    worker_processes: bool = False
    """vLLM runs the model in processes of their own, as with tensor parallelism; errors then have another text."""
    server: ServerArgs = DEFAULT_SERVER_ARGS
    quirks: VersionQuirks = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.served_model_names:
            object.__setattr__(self, "served_model_names", (self.model,))
        if not self.max_cpu_loras:
            object.__setattr__(self, "max_cpu_loras", self.max_loras)
        if self.dialect == "sglang":
            object.__setattr__(self, "quirks", SGLANG)
            return
        try:
            object.__setattr__(self, "quirks", VersionQuirks.of(self.version))
        except ValueError as error:
            raise EngineConfigError(f"release of the engine: {error}", exit_code=2) from error

    @property
    def static_flag(self) -> str:
        """Flag for adapters that are loaded at startup."""
        return "--lora-modules" if self.dialect == "vllm" else "--lora-paths"
