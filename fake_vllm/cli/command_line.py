"""A server's command line and environment, as manifests have them, become its settings.

Whoever has a cluster has manifests with such command lines already; so they are read as they are: Kubernetes'
`$(NAME)`, a shell's `-c`, every way to start the server. Flags that make no difference here are skipped. SGLang's flags
are read by `sglang/command.py`.
"""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from fake_vllm.cli import sglang_args as sglang
from fake_vllm.cli.flags import Flags
from fake_vllm.engine.config import (
    DEFAULT_MODEL,
    DEFAULT_MODEL_LENGTH,
    DEFAULT_SEQUENCES,
    EngineConfig,
    EngineConfigError,
)
from fake_vllm.engine.versions import DEFAULT_VERSION

DIALECTS = ("vllm", "sglang")

_TRUE = ("1", "true")  # vLLM, vllm/envs.py: VLLM_ALLOW_RUNTIME_LORA_UPDATING, compared without case
_SHELLS = ("sh", "bash", "dash", "ash")
_VARIABLE = re.compile(r"\$\((\w+)\)|\$\{(\w+)\}|\$(\w+)")
_KUBERNETES_VARIABLE = re.compile(r"\$\((\w+)\)")
_SERVERS: Mapping[str, str] = {
    "vllm": "vllm",
    "vllm.entrypoints.openai.api_server": "vllm",
    "sglang": "sglang",
    "sglang.launch_server": "sglang",
    "fake-vllm": "",
}
"""Whose dialect it is, by the name that a server is started under; the fake is told."""


def read(
    command: Sequence[str], env: Mapping[str, str], *, version: str = DEFAULT_VERSION, dialect: str = ""
) -> EngineConfig:
    """The settings of a container whose command and arguments, joined, are `command`.

    `dialect` is what it speaks where the command does not say so.

    Raises:
        EngineConfigError: if the server would not start with them.
    """
    words = expanded(command, env)
    return settings(arguments(words), env, version=version, dialect=started(words) or dialect)


def settings(words: Sequence[str], env: Mapping[str, str], *, version: str, dialect: str) -> EngineConfig:
    """The settings that the words behind `vllm serve`, or its like, stand for; vLLM's unless another dialect is named.

    Raises:
        EngineConfigError: if the server would not start with them.
    """
    if dialect == "sglang":
        return sglang.settings(words)
    return _vllm(Flags(words), env, version)


def expanded(command: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """The command's words with variables put in; of a shell's `-c`, the words of its script.

    Raises:
        EngineConfigError: if the script cannot be read.
    """
    words = [_expand(_KUBERNETES_VARIABLE, word, env) for word in command]
    if len(words) < 3 or words[0].rpartition("/")[2] not in _SHELLS or not re.fullmatch(r"-\w*c", words[1]):
        return words
    try:
        return [_expand(_VARIABLE, word, env) for word in shlex.split(words[2].replace("\\\n", " "))]
    except ValueError as error:
        raise EngineConfigError(f"the shell command cannot be read: {error}") from error


def started(words: Sequence[str]) -> str:
    """The dialect of the server that a command starts; empty if it names none (the image's entrypoint does)."""
    at = _server(words)
    name = words[at].rpartition("/")[2] if at is not None else ""
    return _SERVERS.get(name, "")


def arguments(words: Sequence[str]) -> list[str]:
    """The words behind `vllm serve` or a server's module; all of them if none is there."""
    at = _server(words)
    behind = list(words) if at is None else list(words[at + 1 :])
    return behind[1:] if behind[:1] == ["serve"] else behind


def _server(words: Sequence[str]) -> int | None:
    """Where the server's own name stands; a flag's value may be called the same."""
    for at, word in enumerate(words):
        if word.rpartition("/")[2] in _SERVERS and not (at and words[at - 1].startswith("--")):
            return at
    return None


def _vllm(flags: Flags, env: Mapping[str, str], version: str) -> EngineConfig:
    model = flags.positional or flags.text("model") or DEFAULT_MODEL
    max_cpu_loras = flags.number("max-cpu-loras", 0)
    if max_cpu_loras < 1 and flags.texts("max-cpu-loras"):
        raise EngineConfigError(f"--max-cpu-loras is {max_cpu_loras}; it must be at least 1")
    return EngineConfig(
        served_model_names=flags.texts("served-model-name") or (model,),
        model=model,
        max_model_len=flags.number("max-model-len", DEFAULT_MODEL_LENGTH),
        enable_lora=flags.switch("enable-lora"),
        max_loras=flags.number("max-loras", 1),
        max_cpu_loras=max_cpu_loras,
        max_lora_rank=flags.number("max-lora-rank", 16),
        max_num_seqs=flags.number("max-num-seqs", DEFAULT_SEQUENCES),
        lora_modules=tuple(_lora_module(text) for text in flags.texts("lora-modules")),
        runtime_updating=env.get("VLLM_ALLOW_RUNTIME_LORA_UPDATING", "").strip().lower() in _TRUE,
        api_keys=tuple(key for key in flags.texts("api-key") or (env.get("VLLM_API_KEY", ""),) if key),
        host=flags.text("host") or "0.0.0.0",
        port=flags.number("port", 8000),
        version=version,
    )


def _expand(pattern: re.Pattern[str], word: str, env: Mapping[str, str]) -> str:
    """`word` with variables put in; one that is not set stays as it is, as Kubernetes leaves it."""
    return pattern.sub(lambda match: env.get(match[match.lastindex or 0], match[0]), word)


def _lora_module(text: str) -> tuple[str, str]:
    """Name and path of one `--lora-modules` word: `name=path`, or JSON with those two keys."""
    if text.startswith("{"):
        try:
            value: Any = json.loads(text)
            return str(value["name"]), str(value["path"])
        except (ValueError, KeyError, TypeError) as error:
            raise EngineConfigError(f"--lora-modules: {text!r} is not JSON with a name and a path") from error
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise EngineConfigError(f"--lora-modules: {text!r} is not of the form name=path")
    return name, path
