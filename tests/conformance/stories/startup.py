"""Start-up refusals: flags with which a server ends at once, its exit code and its error."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.conformance.playing.masking import Masker
from tests.conformance.profiles import UPDATING
from tests.conformance.servers.engines import Engine, started

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
    "port-above": (*_LORA, "--port", "70000"),
    "two-data-parallel-engines": (*_LORA, "--data-parallel-size", "2"),
    "memory-share-of-two": (*_LORA, "--gpu-memory-utilization", "2"),
    "max-loras-negative": (*_LORA, "--max-loras", "-1"),
    "max-loras-without-value": (*_LORA, "--max-loras"),
    "max-cpu-loras-zero": (*_LORA, "--max-cpu-loras", "0"),
    "max-lora-rank-zero": (*_LORA, "--max-lora-rank", "0"),
    "max-model-len-text": ("--enable-lora", "--max-model-len", "long"),
    "max-model-len-negative": ("--enable-lora", "--max-model-len", "-2"),
    "max-num-seqs-text": (*_LORA, "--max-num-seqs", "many"),
    "max-num-batched-tokens-zero": (*_LORA, "--max-num-batched-tokens", "0"),
    "max-num-batched-tokens-below-sequences": (*_LORA, "--max-num-batched-tokens", "2", "--max-num-seqs", "4"),
    "static-adapter-without-lora": ("--max-model-len", "512", "--lora-modules", "a=/none/at/all"),
    "static-adapter-dora": (*_LORA, "--lora-modules", "a=<loras>/dora"),
    "static-adapter-named-as-base": (*_LORA, "--lora-modules", "base=<loras>/l0"),
    "static-adapter-twice": (*_LORA, "--lora-modules", "a=<loras>/l0", "a=<loras>/l1"),
    "static-adapter-json-cut": (*_LORA, "--lora-modules", '{"name": "a"'),
    "static-adapter-json-without-path": (*_LORA, "--lora-modules", '{"name": "a"}'),
    "static-adapter-two-equals": (*_LORA, "--lora-modules", "a=b=c"),
    "lora-dtype-unknown": (*_LORA, "--lora-dtype", "float99"),
    "kv-cache-dtype-unknown": (*_LORA, "--kv-cache-dtype", "x"),
    "shutdown-timeout-negative": (*_LORA, "--shutdown-timeout", "-1"),
    "shutdown-timeout-text": (*_LORA, "--shutdown-timeout", "soon"),
    "config-missing": (*_LORA, "--config", "/none/at/all.yaml"),
    "config-no-yaml": (*_LORA, "--config", "/none/at/all.txt"),
    "word-unexpected": (*_LORA, "surplus"),
    "flag-ambiguous": (*_LORA, "--max-lor", "2"),
    "dtype-without-value": (*_LORA, "--dtype"),
}
"""Flags after the model's and the port's, by name."""

_PROCESS = re.compile(r"^\(\w+ pid=\d+\) ", re.MULTILINE)
"""Written by vLLM before each line of a process's output."""
_ERROR = re.compile(r"^(?:\S+ )*?(?:[\w.]*(?:Error|Exception)|(?:fake-)?vllm(?: serve)?: error): (.*)$", re.MULTILINE)
"""An error's message, after the class of a Python exception or the name of a program."""
_INVALID = re.compile(r"^(?:(\S+)\n)?  (?! )(?:Value error, )?(.*?)(?: \[type=.*)?$", re.MULTILINE)
"""One field and its message in the text of pydantic's ValidationError; without a field if it is of several."""


def play(engine: Engine, names: Iterable[str], masker: Masker, loras: Path, folder: Path) -> dict[str, Any]:
    """Return what each start-up came to: `exit` (null if it runs on) and `error`, the message of its last error."""
    return {
        name: _start(engine, with_loras(REFUSALS[name], loras), UPDATING, masker, folder / f"{name}.log")
        for name in names
    }


def with_loras(flags: tuple[str, ...], loras: Path) -> tuple[str, ...]:
    """Return flags with the folder of the adapters in place of `<loras>`."""
    return tuple(flag.replace("<loras>", str(loras)) for flag in flags)


def _start(
    engine: Engine, flags: tuple[str, ...], environment: Mapping[str, str], masker: Masker, log: Path
) -> dict[str, Any]:
    with started(engine, flags, environment, log) as running:
        code = running.settle()
        error = "" if code is None else last_error(running.output())
    return {"exit": code, "error": masker.text(error)}


def last_error(output: str) -> str:
    """Return the message of the last error in a server's output; of invalid settings, `field: message; …`."""
    lines = _PROCESS.sub("", output)
    if not (errors := list(_ERROR.finditer(lines))):
        return ""
    if re.search(r"^\d+ validation errors? for ", errors[-1][1]):
        return "; ".join(": ".join(filter(None, one)) for one in _INVALID.findall(lines[errors[-1].end() + 1 :]))
    return errors[-1][1]
