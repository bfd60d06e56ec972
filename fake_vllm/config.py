"""What a vLLM server was told on its command line and in its environment, as far as the fake minds it.

Whoever has a cluster has manifests with such command lines already; so they are read as they are: both
spellings of a flag, `--no-...`, underscores, lists, Kubernetes' `$(NAME)` and a shell's `-c`. Flags that make
no difference here are skipped. What the real server refuses to start with is refused here too.
"""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fake_vllm.realflags import SWITCHES
from fake_vllm.versions import DEFAULT_VERSION, Behaviour

DEFAULT_MODEL = "Qwen/Qwen3-0.6B"  # vLLM, vllm/config/model.py
DEFAULT_MODEL_LENGTH = 32768  # tokens; what the default model's own configuration says, roughly
DEFAULT_SEQUENCES = 256  # vLLM, vllm/engine/arg_utils.py: the server's default on GPUs of less than 70 GiB
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # vLLM, vllm/config/lora.py: what --max-lora-rank may be

_TRUE = ("1", "true")  # vLLM, vllm/envs.py: VLLM_ALLOW_RUNTIME_LORA_UPDATING, compared without case
_SHELLS = ("sh", "bash", "dash", "ash")
_VARIABLE = re.compile(r"\$\((\w+)\)|\$\{(\w+)\}|\$(\w+)")
_KUBERNETES_VARIABLE = re.compile(r"\$\((\w+)\)")


class EngineConfigError(ValueError):
    """The server would refuse to start; the message names the flag."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """One server's settings. Sizes in bytes."""

    served_model_names: tuple[str, ...] = ()
    """Names of the base model; the first is every adapter's parent. The model's own if none are given."""
    model: str = DEFAULT_MODEL
    max_model_len: int = DEFAULT_MODEL_LENGTH
    enable_lora: bool = False
    max_loras: int = 1
    max_cpu_loras: int = 0
    """Adapters kept in host memory; 0 means as many as `max_loras`."""
    max_num_seqs: int = DEFAULT_SEQUENCES
    """Sequences in one batch."""
    max_lora_rank: int = 16
    lora_modules: tuple[tuple[str, str], ...] = ()
    """Adapters that are there from the start: name, path."""
    lora_budget: int | None = None
    """Memory that adapters' weights may take in all."""
    runtime_updating: bool = False
    api_keys: tuple[str, ...] = field(default=(), repr=False)
    host: str = "0.0.0.0"
    port: int = 8000
    version: str = DEFAULT_VERSION
    behaviour: Behaviour = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.served_model_names:
            object.__setattr__(self, "served_model_names", (self.model,))
        if self.max_loras < 1:
            raise EngineConfigError(f"--max-loras is {self.max_loras}; it must be at least 1")
        for flag, value in (("--max-num-seqs", self.max_num_seqs), ("--max-model-len", self.max_model_len)):
            if value < 1:
                raise EngineConfigError(f"{flag} is {value}; it must be at least 1")
        if not self.max_cpu_loras:
            object.__setattr__(self, "max_cpu_loras", self.max_loras)
        if self.max_cpu_loras < self.max_loras:
            raise EngineConfigError(
                f"--max-cpu-loras is {self.max_cpu_loras}; it must be at least --max-loras, which is {self.max_loras}"
            )
        if self.max_lora_rank not in RANKS:
            raise EngineConfigError(f"--max-lora-rank is {self.max_lora_rank}; it must be one of {RANKS}")
        if not 0 <= self.port <= 65535:
            raise EngineConfigError(f"--port is {self.port}; it must be between 0 and 65535")
        if self.lora_modules and not self.enable_lora:
            raise EngineConfigError("--lora-modules needs --enable-lora")
        try:
            object.__setattr__(self, "behaviour", Behaviour.of(self.version))
        except ValueError as error:
            raise EngineConfigError(f"--version: {error}") from error

    @classmethod
    def from_command(
        cls, command: Sequence[str], env: Mapping[str, str], *, version: str = DEFAULT_VERSION
    ) -> "EngineConfig":
        """The settings of a container whose command and arguments, joined, are `command`.

        Raises:
            EngineConfigError: if vLLM would not start with them.
        """
        flags = Flags(arguments(command, env))
        model = flags.text("model") or flags.positional or DEFAULT_MODEL
        max_cpu_loras = flags.number("max-cpu-loras", 0)
        if max_cpu_loras < 1 and flags.texts("max-cpu-loras"):
            raise EngineConfigError(f"--max-cpu-loras is {max_cpu_loras}; it must be at least 1")
        return cls(
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


class Flags:
    """A command line's flags by name (dashes, no underscores) with the words that follow each; the last wins.

    Switches take no words, so that what follows one of them is the model.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.positional = ""
        self.strays: list[str] = []
        """Words that belong to nothing."""
        self._words: dict[str, list[str]] = {}
        self._all: dict[str, list[str]] = {}
        taking: tuple[list[str], ...] | None = None
        for argument in arguments:
            if argument.startswith("--") and len(argument) > 2:
                taking = self._flag(argument[2:])
            elif argument.startswith("-") and argument[1:2].isalpha():
                taking = ()  # a short flag: none of them matters here
            elif taking is not None:
                for words in taking:
                    words.append(argument)
            elif not self.positional:
                self.positional = argument
            else:
                self.strays.append(argument)

    def _flag(self, text: str) -> tuple[list[str], ...] | None:
        """Note a flag; returns where the words that follow it belong."""
        flag, equals, value = text.partition("=")
        name = flag.replace("_", "-")
        self._words.pop(name.removeprefix("no-"), None)
        given, ever = self._words.setdefault(name, []), self._all.setdefault(name, [])
        given.clear()
        if equals:
            given.append(value)
            ever.append(value)
        return None if name.removeprefix("no-") in SWITCHES else (given, ever)

    @property
    def names(self) -> list[str]:
        """The flags that are there, in the order in which they first came."""
        return list(self._words)

    def every(self, name: str) -> list[str]:
        """All words of a flag, wherever it was given."""
        return list(self._all.get(name, ()))

    def texts(self, name: str) -> tuple[str, ...]:
        """All words of a flag that takes several; none if it is not there."""
        if name not in self._words:
            return ()
        if not self._words[name]:
            raise EngineConfigError(f"--{name} needs a value")
        return tuple(self._words[name])

    def text(self, name: str) -> str:
        """The word of a flag that takes one; empty if it is not there."""
        words = self.texts(name)
        return words[0] if words else ""

    def number(self, name: str, default: int) -> int:
        """The whole number that a flag gives. `4k` is 4000 and `4K` is 4096, as vLLM reads lengths."""
        text = self.text(name)
        if not text:
            return default
        match = re.fullmatch(r"(-?\d+)([kKmM]?)", text)
        if match is None:
            raise EngineConfigError(f"--{name}: {text!r} is not a whole number")
        return int(match[1]) * {"": 1, "k": 1000, "K": 1024, "m": 10**6, "M": 1 << 20}[match[2]]

    def switch(self, name: str) -> bool:
        """Whether a flag is on: it is there, no `--no-...` came later, and it does not say `=false`."""
        words = self._words.get(name)
        return words is not None and (not words or words[0].lower() not in ("false", "0"))


def arguments(command: Sequence[str], env: Mapping[str, str]) -> list[str]:
    """The words behind `vllm serve` or the server's module; all of them if neither is there (image entrypoint)."""
    words = [_expand(_KUBERNETES_VARIABLE, word, env) for word in command]
    if len(words) >= 3 and words[0].rpartition("/")[2] in _SHELLS and re.fullmatch(r"-\w*c", words[1]):
        try:
            words = [_expand(_VARIABLE, word, env) for word in shlex.split(words[2].replace("\\\n", " "))]
        except ValueError as error:
            raise EngineConfigError(f"the shell command cannot be read: {error}") from error
    for index, word in enumerate(words):
        if word.rpartition("/")[2] in ("vllm", "fake-vllm", "vllm.entrypoints.openai.api_server"):
            words = words[index + 1 :]
            break
    return words[1:] if words[:1] == ["serve"] else words


def _expand(pattern: re.Pattern[str], word: str, env: Mapping[str, str]) -> str:
    """`word` with variables put in; one that is not set stays as it is, as Kubernetes leaves it."""
    return pattern.sub(lambda match: env.get(match[match.lastindex or 0], match[0]), word)


def _lora_module(text: str) -> tuple[str, str]:
    """Name and path of one `--lora-modules` word: `name=path`, or JSON with those two keys."""
    if text.startswith("{"):
        try:
            value: Any = json.loads(text)
            return str(value["name"]), str(value["path"])
        except (ValueError, KeyError) as error:
            raise EngineConfigError(f"--lora-modules: {text!r} is not JSON with a name and a path") from error
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise EngineConfigError(f"--lora-modules: {text!r} is not of the form name=path")
    return name, path
