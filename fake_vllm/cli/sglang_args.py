"""The settings of a fake SGLang from the arguments of a real one.

What `check_lora_server_args` (`sglang/srt/server_args.py`) refuses is refused here, with its text where it has one.
"""

from fake_vllm.engine.config import (
    DEFAULT_MODEL,
    DEFAULT_MODEL_LENGTH,
    DEFAULT_SEQUENCES,
    EngineConfig,
    EngineConfigError,
)
from formats.engine_command import EngineArgs

_VERSION = "0.5.9"  # the release whose sources were read
_UNLIMITED = 1 << 30  # adapters in host memory: all that are loaded, which --max-loaded-loras may limit


def sglang_config(args: EngineArgs) -> EngineConfig:
    """Return the settings that SGLang's arguments stand for.

    Raises:
        EngineConfigError: if SGLang would not start with them.
    """
    _check(args)
    model = args.model or DEFAULT_MODEL
    return EngineConfig(
        dialect="sglang",
        served_model_names=args.served_model_names or (model,),
        model=model,
        max_model_len=args.max_model_len or DEFAULT_MODEL_LENGTH,
        enable_lora=args.enable_lora,
        max_loras=args.max_loras,
        max_cpu_loras=_UNLIMITED,
        max_listed=args.max_loaded_loras or 0,
        max_lora_rank=args.max_lora_rank or 0,
        max_num_seqs=args.max_num_seqs or DEFAULT_SEQUENCES,
        lora_modules=args.lora_modules,
        runtime_updating=True,
        api_keys=args.api_keys,
        host=args.host or "127.0.0.1",
        port=args.port,
        metrics=args.enable_metrics,
        version=_VERSION,
    )


def _check(args: EngineArgs) -> None:
    slots, loaded = args.max_loras, args.max_loaded_loras
    if not 0 <= args.port <= 65535:
        raise EngineConfigError(f"--port is {args.port}; it must be between 0 and 65535", flag="--port")
    if slots < 1:
        raise EngineConfigError(f"--max-loras-per-batch is {slots}; it must be at least 1")
    if loaded is not None and loaded < slots:
        raise EngineConfigError(
            f"--max-loaded-loras is {loaded}; it must be at least --max-loras-per-batch, which is {slots}"
        )
    for flag, value in (
        ("--max-lora-rank", args.max_lora_rank),
        ("--context-length", args.max_model_len),
        ("--max-running-requests", args.max_num_seqs),
    ):
        if value is not None and value < 1:
            raise EngineConfigError(f"{flag} is {value}; it must be at least 1")
    if args.enable_lora and not args.lora_modules and not (args.max_lora_rank and args.lora_target_modules):
        raise EngineConfigError(
            "When no initial --lora-paths is provided, you need to specify both --max-lora-rank and"
            " --lora-target-modules for LoRA initialization."
        )
