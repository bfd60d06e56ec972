"""The engine's arguments in a container's command: exec form, shell form, and every name an engine starts under."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from formats.engine_command.env_program import unwrap_env
from formats.engine_command.shell import simple_commands
from formats.engine_command.variables import expand_variables

VLLM, SGLANG = "vllm", "sglang"

_SHELLS = ("sh", "bash", "dash", "ash", "zsh")
_FLAVORS: Mapping[str, str] = {
    "vllm": VLLM,
    "vllm.entrypoints.openai.api_server": VLLM,
    "sglang": SGLANG,
    "sglang.launch_server": SGLANG,
    "fake-vllm": "",
}
"""Flavor by the name that an engine starts under; the fake has a flag for it."""
_OTHER_PROGRAMS = ("echo", "printf", "pip", "pip3", "apt", "apt-get", "which", "type", "pkill", "cd", "rm")
_DEPTH = 4  # shells inside shells


@dataclass(frozen=True, slots=True)
class EngineCommand:
    """Command, arguments and environment that start an engine.

    Attributes:
        flavor: `vllm` or `sglang`; empty if the command does not say it (the image's entry point does).
        args: the arguments behind `vllm serve` or the server's module; all words if neither is there.
        env: the container's environment with the assignments of the shell script or of `env`.
    """

    flavor: str
    args: tuple[str, ...]
    env: Mapping[str, str]


def read_command(command: Sequence[str], env: Mapping[str, str]) -> EngineCommand:
    """Return how the engine is started by a container whose `command` and `args`, joined, are `command`.

    Raises:
        FormatError: if it is a shell script, or a text of `env -S`, that cannot be read.
    """
    words = tuple(expand_variables(word, env) for word in command)
    engine = _find(words, env)
    if engine is not None:
        return engine
    script = _script(words)
    if script is None:
        return EngineCommand("", _behind_serve(words), env)
    commands = simple_commands(words[script], env, words[script + 1 :])
    return EngineCommand("", commands[-1].words if commands else (), env)


def _find(words: Sequence[str], env: Mapping[str, str], depth: int = 0) -> EngineCommand | None:
    words, env = unwrap_env(words, env)
    script = _script(words)
    if script is None:
        return _engine(words, env)
    if depth < _DEPTH:
        for command in simple_commands(words[script], env, words[script + 1 :]):
            if (engine := _find(command.words, command.env, depth + 1)) is not None:
                return engine
    return None


def _script(words: Sequence[str]) -> int | None:
    """Return the index of the script in `bash -c SCRIPT`; None if it is another command."""
    if not words or _name(words[0]) not in _SHELLS:
        return None
    index = 1
    while index < len(words) and words[index][:1] in ("-", "+"):
        option = words[index]
        index += 2 if option.endswith("o") and not option.startswith("--") else 1
        if re.fullmatch(r"-\w*c\w*", option):
            return index if index < len(words) else None
    return None


def _engine(words: Sequence[str], env: Mapping[str, str]) -> EngineCommand | None:
    if not words or _name(words[0]) in _OTHER_PROGRAMS:
        return None
    for index, word in enumerate(words):
        name = _name(word)
        if name in _FLAVORS and not (index and len(words[index - 1]) > 2 and words[index - 1].startswith("--")):
            return EngineCommand(_FLAVORS[name], _behind_serve(words[index + 1 :]), env)
    return None


def _behind_serve(args: Sequence[str]) -> tuple[str, ...]:
    return tuple(args[1:] if args[:1] and args[0] == "serve" else args)


def _name(word: str) -> str:
    return word.rpartition("/")[2]
