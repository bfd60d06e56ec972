"""The settings of a fake vLLM from the arguments of a real one.

What vLLM refuses at its start is refused here, with its message: `field: message` for a setting that pydantic refuses
(vllm/config), in the order in which vLLM makes its configurations (`create_engine_config` in vllm/engine/arg_utils.py).
"""

from collections.abc import Iterator
from dataclasses import replace

from fake_vllm.engine.config import (
    DEFAULT_FRONTEND,
    DEFAULT_MODEL,
    DEFAULT_MODEL_LENGTH,
    DEFAULT_SEQUENCES,
    EngineConfig,
    EngineConfigError,
)
from fake_vllm.engine.versions import DEFAULT_VERSION
from fake_vllm.peft.base_model import ModelShape
from formats.engine_command import EngineArgs
from formats.engine_releases import Release, parse_release

CPU_BUILD = "+cpu"
"""Mark of vLLM's build for CPUs in a version, as in 0.32.0+cpu: it always has a worker process (platforms/cpu.py)."""

_CHECKS_LENGTH_SINCE = (0, 24)  # recorded: before, a length of 0 is the limit of batches, which is refused
_NO_LENGTH = "max_model_len must be a positive integer, got int: 0. Example: max_model_len=2048"
_NO_BATCH = "; ".join(
    f"{name}: Input should be greater than or equal to 1" for name in ("max_num_batched_tokens", "max_num_seqs")
)
_SPLITS_ONCE_SINCE = (0, 30)  # recorded: 0.28.0 fails at a second "=" in --lora-modules
_TOO_LONG = (
    "User-specified max_model_len ({}) is greater than the derived max_model_len (max_position_embeddings={} or"
    " model_max_length=None in model's config.json). To allow overriding this maximum, set the env var"
    " VLLM_ALLOW_LONG_MAX_MODEL_LEN=1. VLLM_ALLOW_LONG_MAX_MODEL_LEN must be used with extreme caution. If the model"
    " uses relative position encoding (RoPE), positions exceeding derived_max_model_len lead to nan. If the model uses"
    " absolute position encoding, positions exceeding derived_max_model_len will cause a CUDA array out-of-bounds"
    " error."
)


def release_of_flags(version: str) -> Release | None:
    """Return the release whose flags alone are accepted; None for the default version, which stands for any."""
    return None if version == DEFAULT_VERSION else parse_release(version.removesuffix(CPU_BUILD))


def vllm_config(args: EngineArgs, version: str, shape: ModelShape | None = None) -> EngineConfig:
    """Return the settings that vLLM's arguments stand for.

    Args:
        args: the arguments.
        version: the release, with `+cpu` behind it for the CPU build.
        shape: sizes of the model, if they are known.

    Raises:
        EngineConfigError: if vLLM would not start with them.
    """
    release = parse_release(version.removesuffix(CPU_BUILD))
    for refusal in _refusals(args, release, shape):
        raise refusal
    model = args.model or DEFAULT_MODEL
    longest = shape.max_length if shape else DEFAULT_MODEL_LENGTH
    return EngineConfig(
        served_model_names=args.served_model_names or (model,),
        model=model,
        max_model_len=longest if args.max_model_len in (None, -1) else args.max_model_len,
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
        worker_processes=args.worker_processes or _cpu_has_workers(args, version),
        frontend=replace(
            DEFAULT_FRONTEND,
            max_logprobs=DEFAULT_FRONTEND.max_logprobs if args.max_logprobs is None else args.max_logprobs,
            tool_call_parser=args.tool_call_parser,
            trust_request_chat_template=args.trust_request_chat_template,
        ),
        server=args.server,
    )


def _refusals(args: EngineArgs, release: Release, shape: ModelShape | None) -> Iterator[EngineConfigError]:
    """Yield the errors, the first one as a real server meets it."""
    if release < _SPLITS_ONCE_SINCE and any("=" in path for _, path in args.lora_modules):
        yield EngineConfigError("too many values to unpack (expected 2)", flag="--lora-modules")
    if not 0 <= args.port <= 65535:
        yield EngineConfigError("bind(): port must be 0-65535.", flag="--port")
    yield from _lengths(args, release, shape)
    yield from _batches(args)
    yield from _loras(args)
    if args.server.shutdown_timeout < 0:
        yield _below("shutdown_timeout", 0)
    if args.server.processes > 1 and args.runtime_updating:
        flag = "--api-server-count"
        message = "VLLM_ALLOW_RUNTIME_LORA_UPDATING cannot be used with api_server_count > 1"
        yield EngineConfigError(message, flag=flag)


def _lengths(args: EngineArgs, release: Release, shape: ModelShape | None) -> Iterator[EngineConfigError]:
    length, flag = args.max_model_len, "--max-model-len"
    if length is None:
        return
    if length < -1:
        yield _below("max_model_len", -1)
    if length == 0:
        yield EngineConfigError(_NO_LENGTH if release >= _CHECKS_LENGTH_SINCE else _NO_BATCH, flag=flag)
    if shape is not None and length > shape.max_length and not args.allows_long_models:
        yield EngineConfigError(_TOO_LONG.format(length, float(shape.max_length)), flag=flag)


def _batches(args: EngineArgs) -> Iterator[EngineConfigError]:
    """Yield the errors of the cache's and the scheduler's settings.

    Each of the scheduler's two numbers limits the default of the other.
    """
    share = args.gpu_memory_utilization
    if share is not None and not share > 0:
        yield EngineConfigError(
            "gpu_memory_utilization: Input should be greater than 0", flag=_flag("gpu_memory_utilization")
        )
    if share is not None and share > 1:
        message = "gpu_memory_utilization: Input should be less than or equal to 1"
        yield EngineConfigError(message, flag="--gpu-memory-utilization")
    tokens, sequences = args.max_num_batched_tokens, args.max_num_seqs
    names = {"max_num_batched_tokens": tokens, "max_num_seqs": sequences}
    given = [value for value in names.values() if value is not None]
    wrong = [name for name, value in names.items() if (min(given, default=1) if value is None else value) < 1]
    if wrong:
        messages = [f"{name}: Input should be greater than or equal to 1" for name in wrong]
        yield EngineConfigError(
            "; ".join(messages), flag=next(_flag(name) for name in wrong if names[name] is not None)
        )
    if tokens is not None and sequences is not None and tokens < sequences:
        message = f"max_num_batched_tokens ({tokens}) must be greater than or equal to max_num_seqs ({sequences})."
        yield EngineConfigError(message, flag=_flag("max_num_batched_tokens"))


def _loras(args: EngineArgs) -> Iterator[EngineConfigError]:
    """Yield the errors of LoRA's settings, which vLLM reads with `--enable-lora` alone."""
    if not args.enable_lora:
        return
    if args.max_loras < 1:
        yield _below("max_loras", 1)
    if args.max_cpu_loras is not None and args.max_cpu_loras < args.max_loras:
        message = f"max_cpu_loras ({args.max_cpu_loras}) must be >= max_loras ({args.max_loras})."
        yield EngineConfigError(message, flag="--max-cpu-loras")


def _below(name: str, least: int) -> EngineConfigError:
    return EngineConfigError(f"{name}: Input should be greater than or equal to {least}", flag=_flag(name))


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _cpu_has_workers(args: EngineArgs, version: str) -> bool:
    """Return whether errors of a CPU build are those of worker processes: on 0.20.2 always, on 0.16.0 never."""
    release = parse_release(version)
    return version.endswith(CPU_BUILD) and release >= (0, 20) and (args.engine_processes or release < (0, 24))
