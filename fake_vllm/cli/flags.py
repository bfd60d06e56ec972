"""A command line taken apart: both spellings of a flag, `--no-...`, underscores, lists, the last one wins."""

import re
from collections.abc import Sequence

from fake_vllm.cli.vllm_flags import SWITCHES
from fake_vllm.engine.config import EngineConfigError


class Flags:
    """A command line's flags by name (dashes, no underscores) with the words that follow each; the last wins.

    Switches take no words, so that what follows one of them is the model.
    """

    def __init__(self, arguments: Sequence[str], switches: frozenset[str] = SWITCHES) -> None:
        self._switches = switches
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
        return None if name.removeprefix("no-") in self._switches else (given, ever)

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
