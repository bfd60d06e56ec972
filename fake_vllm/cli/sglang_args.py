"""SGLang's command line, `python -m sglang.launch_server --model-path MODEL ...`: server_args.py."""

import json
from collections.abc import Sequence
from typing import Any

from fake_vllm.cli.flags import Flags
from fake_vllm.engine.config import (
    DEFAULT_MODEL,
    DEFAULT_MODEL_LENGTH,
    DEFAULT_SEQUENCES,
    EngineConfig,
    EngineConfigError,
)

COUNT = (
    *("model-path", "model", "served-model-name", "context-length", "enable-lora", "lora-paths", "max-lora-rank"),
    *("lora-target-modules", "max-loras-per-batch", "max-loaded-loras", "max-running-requests", "api-key", "host"),
    *("port", "enable-metrics", "random-seed", "chunked-prefill-size"),
)
"""Flags that make a difference."""
_VERSION = "0.5.9"  # a release of the sources that were read
_ALL = 1 << 30  # adapters in host memory: as many as are listed, which --max-loaded-loras may limit


def flags_of(words: Sequence[str]) -> Flags:
    """The command line taken apart."""
    return Flags(words, frozenset())


def settings(words: Sequence[str]) -> EngineConfig:
    """The settings of a server that is started with these words.

    Raises:
        EngineConfigError: if it would not start.
    """
    flags = flags_of(words)
    model = flags.text("model-path") or flags.text("model") or flags.positional or DEFAULT_MODEL
    static = tuple(_lora_path(text) for text in flags.texts("lora-paths"))
    enabled = flags.switch("enable-lora") or bool(static)
    slots, listed = flags.number("max-loras-per-batch", 8), flags.number("max-loaded-loras", 0)
    _check(flags, static=bool(static), enabled=enabled, slots=slots, listed=listed)
    return EngineConfig(
        dialect="sglang",
        served_model_names=(flags.text("served-model-name") or model,),
        model=model,
        max_model_len=flags.number("context-length", DEFAULT_MODEL_LENGTH),
        enable_lora=enabled,
        max_loras=slots,
        max_cpu_loras=_ALL,
        max_listed=listed,
        max_lora_rank=flags.number("max-lora-rank", 0),
        max_num_seqs=flags.number("max-running-requests", DEFAULT_SEQUENCES),
        lora_modules=static,
        runtime_updating=True,
        api_keys=tuple(key for key in (flags.text("api-key"),) if key),
        host=flags.text("host") or "127.0.0.1",
        port=flags.number("port", 30000),
        metrics=flags.switch("enable-metrics"),
        version=_VERSION,
    )


def _check(flags: Flags, *, static: bool, enabled: bool, slots: int, listed: int) -> None:
    """What `check_lora_server_args` refuses, in its words where a user will look for them."""
    if slots < 1:
        raise EngineConfigError(f"--max-loras-per-batch is {slots}; it must be at least 1")
    if flags.texts("max-loaded-loras") and listed < slots:
        raise EngineConfigError(
            f"--max-loaded-loras is {listed}; it must be at least --max-loras-per-batch, which is {slots}"
        )
    for name in ("max-lora-rank", "context-length", "max-running-requests"):
        if flags.texts(name) and flags.number(name, 0) < 1:
            raise EngineConfigError(f"--{name} is {flags.text(name)}; it must be at least 1")
    if enabled and not static and not (flags.texts("max-lora-rank") and flags.texts("lora-target-modules")):
        raise EngineConfigError(
            "When no initial --lora-paths is provided, you need to specify both --max-lora-rank and"
            " --lora-target-modules for LoRA initialization."
        )


def _lora_path(text: str) -> tuple[str, str]:
    """Name and path of one `--lora-paths` word: `path`, `name=path`, or JSON with `lora_name` and `lora_path`."""
    if text.startswith("{"):
        try:
            value: Any = json.loads(text)
            return str(value["lora_name"]), str(value["lora_path"])
        except (ValueError, KeyError, TypeError) as error:
            raise EngineConfigError(f"--lora-paths: {text!r} is not JSON with lora_name and lora_path") from error
    name, equals, path = text.partition("=")
    return (name, path) if equals else (text, text)
