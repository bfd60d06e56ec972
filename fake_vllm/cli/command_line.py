"""The settings of a fake engine from the command line and environment of a real one, as manifests have them."""

from collections.abc import Mapping, Sequence

from fake_vllm.cli.sglang_args import sglang_config
from fake_vllm.engine.config import (
    DEFAULT_MODEL,
    DEFAULT_MODEL_LENGTH,
    DEFAULT_SEQUENCES,
    EngineConfig,
    EngineConfigError,
)
from fake_vllm.engine.versions import DEFAULT_VERSION
from formats.engine_command import EngineArgs, read_engine_args
from formats.errors import FormatError

CPU_BUILD = "+cpu"
"""Mark of vLLM's build for CPUs in a version, as in 0.32.0+cpu: it always has a worker process (platforms/cpu.py)."""


def read(
    command: Sequence[str], env: Mapping[str, str], *, version: str = DEFAULT_VERSION, dialect: str = ""
) -> EngineConfig:
    """Return the settings of the engine in a container.

    Args:
        command: the container's command and arguments, joined.
        env: its environment.
        version: the vLLM release to behave like.
        dialect: `vllm` or `sglang` where the command does not say it.

    Raises:
        EngineConfigError: if the engine would not start.
    """
    try:
        return engine_config(read_engine_args(command, env, flavor=dialect), version)
    except FormatError as error:
        raise EngineConfigError(str(error)) from error


def engine_config(args: EngineArgs, version: str) -> EngineConfig:
    """Return the settings that the engine's arguments stand for.

    Raises:
        EngineConfigError: if the engine would not start with them.
    """
    if args.flavor == "sglang":
        return sglang_config(args)
    for flag, value in (
        ("--max-cpu-loras", args.max_cpu_loras),
        ("--max-model-len", args.max_model_len),
        ("--max-num-seqs", args.max_num_seqs),
    ):
        if value is not None and value < 1:
            raise EngineConfigError(f"{flag} is {value}; it must be at least 1")
    model = args.model or DEFAULT_MODEL
    return EngineConfig(
        served_model_names=args.served_model_names or (model,),
        model=model,
        max_model_len=args.max_model_len or DEFAULT_MODEL_LENGTH,
        enable_lora=args.enable_lora,
        max_loras=args.max_loras,
        max_cpu_loras=args.max_cpu_loras or 0,
        max_lora_rank=args.max_lora_rank or 0,
        max_num_seqs=args.max_num_seqs or DEFAULT_SEQUENCES,
        lora_modules=args.lora_modules,
        runtime_updating=args.runtime_updating,
        prefix_caching=args.prefix_caching,
        api_keys=args.api_keys,
        host=args.host or "0.0.0.0",
        port=args.port,
        version=version.removesuffix(CPU_BUILD),
        worker_processes=args.worker_processes or (version.endswith(CPU_BUILD) and args.engine_processes),
        server=args.server,
    )
