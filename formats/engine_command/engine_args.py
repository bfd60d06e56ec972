"""Values read from an engine's command line and environment, the same for all engines."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from formats.engine_command.argument_parser import FlexibleArgumentParser
from formats.engine_command.command import SGLANG, VLLM, read_command
from formats.engine_command.server_args import DEFAULT_SERVER_ARGS, ServerArgs
from formats.engine_command.sglang import sglang_parser
from formats.engine_command.vllm import vllm_parser
from formats.engine_releases import Release

_TRUE = ("1", "true")  # vllm/envs.py: VLLM_ALLOW_RUNTIME_LORA_UPDATING, compared without case
UNLIMITED = 1 << 30  # adapters: SGLang lists any number unless --max-loaded-loras limits it


@dataclass(frozen=True, slots=True)
class EngineArgs:
    """Arguments of one engine. None stands for an argument that is not there and has no fixed default."""

    flavor: str = VLLM
    model: str = ""
    served_model_names: tuple[str, ...] = ()
    """Names of the base model; the model's own if the command line has none."""
    host: str | None = None
    port: int = 8000
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    enable_lora: bool = False
    runtime_updating: bool = False
    max_loras: int = 1
    """Adapters in one batch."""
    max_cpu_loras: int | None = None
    """vLLM: adapters in host memory; None: as many as `max_loras`, as with a flag that is not above 0."""
    max_loaded_loras: int | None = None
    """SGLang: adapters that can be loaded."""
    max_lora_rank: int | None = None
    lora_modules: tuple[tuple[str, str], ...] = ()
    """Static adapters: name, path."""
    lora_target_modules: tuple[str, ...] = ()
    max_model_len: int | None = None
    allows_long_models: bool = False
    """vLLM: `VLLM_ALLOW_LONG_MAX_MODEL_LEN`."""
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    gpu_memory_utilization: float | None = None
    max_logprobs: int | None = None
    tool_call_parser: str = ""
    """Parser of tool calls; empty if the server reads none."""
    trust_request_chat_template: bool = False
    seed: int = 0
    enable_metrics: bool = True
    worker_processes: bool = False
    """vLLM: the model runs in processes of their own."""
    engine_processes: bool = True
    """vLLM: `VLLM_ENABLE_V1_MULTIPROCESSING`."""
    prefix_caching: bool = True
    server: ServerArgs = DEFAULT_SERVER_ARGS
    ignored: tuple[str, ...] = ()
    """Flags that exist and make no difference here."""
    unknown: tuple[str, ...] = ()
    """Flags that the engine is not known to have with their words, and surplus words."""

    @property
    def capacity(self) -> int:
        """Adapters that the engine can hold."""
        if self.flavor == SGLANG:
            return self.max_loaded_loras if self.max_loaded_loras is not None else UNLIMITED
        return self.max_cpu_loras or self.max_loras

    @classmethod
    def from_namespace(
        cls, values: Namespace, flavor: str, env: Mapping[str, str], unknown: Sequence[str] = ()
    ) -> "EngineArgs":
        """Return the arguments that a flavor's parser has parsed."""
        model = getattr(values, "model_tag", None) or values.model or ""
        keys = values.api_key or ([env.get("VLLM_API_KEY", "")] if flavor == VLLM else [])
        updating = env.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "").strip().lower() in _TRUE
        return cls(
            flavor=flavor,
            model=model,
            served_model_names=tuple(values.served_model_name) or ((model,) if model else ()),
            host=values.host,
            port=values.port,
            api_keys=tuple(filter(None, keys)),
            enable_lora=values.enable_lora or (flavor == SGLANG and bool(values.lora_modules)),
            runtime_updating=flavor == SGLANG or updating,
            max_loras=values.max_loras,
            max_cpu_loras=_positive(getattr(values, "max_cpu_loras", None)),
            max_loaded_loras=getattr(values, "max_loaded_loras", None),
            max_lora_rank=values.max_lora_rank,
            lora_modules=tuple(values.lora_modules),
            lora_target_modules=tuple(getattr(values, "lora_target_modules", None) or ()),
            max_model_len=values.max_model_len,
            allows_long_models=env.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN", "").strip().lower() in _TRUE,
            max_num_seqs=values.max_num_seqs,
            max_num_batched_tokens=values.max_num_batched_tokens,
            gpu_memory_utilization=getattr(values, "gpu_memory_utilization", None),
            max_logprobs=getattr(values, "max_logprobs", None),
            tool_call_parser=getattr(values, "tool_call_parser", None) or "",
            trust_request_chat_template=getattr(values, "trust_request_chat_template", False),
            seed=values.seed,
            enable_metrics=flavor == VLLM or values.enable_metrics,
            worker_processes=flavor == VLLM and _has_workers(values),
            engine_processes=env.get("VLLM_ENABLE_V1_MULTIPROCESSING", "1").strip() != "0",
            prefix_caching=getattr(values, "enable_prefix_caching", None) is not False,
            server=ServerArgs.from_namespace(values, env) if flavor == VLLM else DEFAULT_SERVER_ARGS,
            ignored=tuple(getattr(values, "ignored", ())),
            unknown=tuple(unknown),
        )


def _positive(number: int | None) -> int | None:
    return number if number and number > 0 else None


def _has_workers(values: Namespace) -> bool:
    """Return whether vLLM chooses an executor with worker processes (vllm/config/parallel.py)."""
    backend = values.distributed_executor_backend
    return backend not in (None, "uni") or values.tensor_parallel_size * values.pipeline_parallel_size > 1


def read_engine_args(
    command: Sequence[str], env: Mapping[str, str], *, flavor: str = "", release: Release | None = None
) -> EngineArgs:
    """Return the arguments of the engine in a container.

    Args:
        command: the container's `command` and `args`, joined.
        env: its environment; variables with unknown values are left out.
        flavor: the flavor where the command does not say it; vLLM without it.
        release: of vLLM, whose flags and values alone are accepted; None: those of all releases.

    Raises:
        FormatError: if the command cannot be read, or a value is missing or wrong.
    """
    return _read_cached(tuple(command), tuple(sorted(env.items())), flavor, release)


@lru_cache(maxsize=1024)
def _read_cached(
    command: tuple[str, ...], env: tuple[tuple[str, str], ...], flavor: str, release: Release | None
) -> EngineArgs:
    engine = read_command(command, dict(env))
    flavor = engine.flavor or flavor or VLLM
    values, unknown = _parser(flavor, release).parse(engine.args)
    return EngineArgs.from_namespace(values, flavor, engine.env, unknown)


def engine_parser(flavor: str, release: Release | None = None) -> FlexibleArgumentParser:
    """Return a new parser for the arguments of a flavor's server; see `vllm_parser` for the release."""
    return sglang_parser() if flavor == SGLANG else vllm_parser(release)


_parser = lru_cache(maxsize=8)(engine_parser)
