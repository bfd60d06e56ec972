"""Start-up refusals: flags with which a server ends at once, its exit code and its error."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.conformance.masking import Masker
from tests.conformance.profiles import UPDATING
from tests.conformance.servers import Engine, started

_LORA = ("--enable-lora", "--max-model-len", "512")
REFUSALS: dict[str, tuple[str, ...]] = {
    "max-loras-zero": (*_LORA, "--max-loras", "0"),
    "max-loras-text": (*_LORA, "--max-loras", "x"),
    "max-cpu-loras-below-max-loras": (*_LORA, "--max-loras", "4", "--max-cpu-loras", "2"),
    "max-lora-rank-odd": (*_LORA, "--max-lora-rank", "17"),
    "max-model-len-zero": ("--enable-lora", "--max-model-len", "0"),
    "max-model-len-above-the-model": ("--enable-lora", "--max-model-len", "100000"),
    "max-num-seqs-zero": (*_LORA, "--max-num-seqs", "0"),
    "static-adapter-missing": (*_LORA, "--lora-modules", "a=/none/at/all"),
    "static-adapter-without-path": (*_LORA, "--lora-modules", "a"),
    "unknown-flag": (*_LORA, "--max-lorass", "2"),
    "unknown-dtype": (*_LORA, "--dtype", "float99"),
    "two-api-servers": (*_LORA, "--api-server-count", "2"),
    "port-text": (*_LORA, "--port", "http"),
}
"""Flags after the model's and the port's, by name."""

_ERROR = re.compile(
    r"^(?:\S+ )*?((?:[\w.]*(?:Error|Exception): |vllm serve: error: |\w[\w-]*: error: ).*)$", re.MULTILINE
)


def play(engine: Engine, masker: Masker, folder: Path) -> dict[str, Any]:
    """Return what each start-up came to: `exit` (null if it runs on) and `error`, its last error line."""
    return {name: _start(engine, flags, UPDATING, masker, folder / f"{name}.log") for name, flags in REFUSALS.items()}


def _start(
    engine: Engine, flags: tuple[str, ...], environment: Mapping[str, str], masker: Masker, log: Path
) -> dict[str, Any]:
    with started(engine, flags, environment, log) as running:
        code = running.settle()
        errors = _ERROR.findall(running.output())
    return {"exit": code, "error": masker.text(errors[-1]) if errors and code is not None else ""}
