"""vLLM's kind of `argparse` parser (`vllm/utils/argparse_utils.py`, `FlexibleArgumentParser`).

Flags may have underscores, `--flag.key VALUE` sets a key of a flag that takes JSON, and `-O3` is an optimization
level. Abbreviations, `--flag=value`, repeated flags and error texts are those of `argparse`.
"""

import argparse
import re
from collections.abc import Sequence
from typing import NoReturn

from formats.errors import FormatError

_NAME = re.compile(r"--[^.=]+")
_KEY = re.compile(r"(--[^.=]+)\.[^=]*")
_HUMAN = re.compile(r"(\d+(?:\.\d+)?)([kKmMgGtT])")
_MULTIPLIERS = {
    **{letter: 1000**power for power, letter in enumerate("kmgt", 1)},
    **{letter: 1024**power for power, letter in enumerate("KMGT", 1)},
}


class FlexibleArgumentParser(argparse.ArgumentParser):
    """Raises `FormatError` where `argparse` prints usage and exits with 2."""

    def __init__(self) -> None:
        super().__init__(add_help=False)
        self.register("action", "ignored", IgnoredAction)
        self._formatter = argparse.HelpFormatter("")

    def _get_formatter(self) -> argparse.HelpFormatter:
        """Return one formatter for all arguments: `add_argument` asks for it each time, to check a metavar."""
        return self._formatter

    @property
    def flags(self) -> list[str]:
        """Every flag, with its dashes."""
        return [option for action in self._actions for option in action.option_strings]

    @property
    def meaningful(self) -> list[str]:
        """The flags that are not ignored."""
        actions = [action for action in self._actions if not isinstance(action, IgnoredAction)]
        return [flag for action in actions for flag in action.option_strings]

    def error(self, message: str) -> NoReturn:
        raise FormatError(message)

    def parse(self, args: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """Return the values, and the unknown flags with their words and surplus words.

        The words that follow an unknown flag are its own: they are not taken for the model.

        Raises:
            FormatError: if a value is missing or wrong; in the words of `argparse`.
        """
        known: list[str] = []
        unknown: list[str] = []
        target = known
        for arg in map(normalize, args):
            if arg.startswith("-") and arg != "-" and not _is_number(arg):
                target = known if self._knows(arg) else unknown
            target.append(arg)
        namespace, surplus = self.parse_known_args(known)
        return namespace, [*unknown, *surplus]

    def _knows(self, arg: str) -> bool:
        name = arg.partition("=")[0]
        return any(flag.startswith(name) for flag in self.flags)


class IgnoredAction(argparse.Action):
    """Appends the flag's name to `namespace.ignored`: the flag exists and makes no difference to a server that starts.

    The value is stored too, for flags with values that keep a server from starting.
    """

    def __call__(
        self, _: object, namespace: argparse.Namespace, values: object, option_string: str | None = None
    ) -> None:
        setattr(namespace, self.dest, values)
        ignored: list[str] = getattr(namespace, "ignored", [])
        if option_string not in ignored:
            namespace.ignored = [*ignored, option_string]


def normalize(arg: str) -> str:
    """Return an argument with dashes in the flag's name, without a key behind a dot, and `-O3` spelled out."""
    if arg.startswith("-O") and arg != "-O":
        return f"--optimization-level={arg[2:].removeprefix('=')}"
    arg = _NAME.sub(lambda match: match[0].replace("_", "-"), arg, count=1) if arg.startswith("--") else arg
    return _KEY.sub(r"\1", arg, count=1) if arg.startswith("--") else arg


def human_readable_int_or_auto(text: str) -> int:
    """Return a whole number as `human_readable_int`; -1 for `auto`."""
    return -1 if text.strip().lower() == "auto" else human_readable_int(text)


def human_readable_int(text: str) -> int:
    """Return a whole number: `8192`, `4k` for 4000, `4K` for 4096, `25.6k` for 25600."""
    match = _HUMAN.fullmatch(text.strip())
    if match is None:
        return int(text)
    number, suffix = match.groups()
    if suffix.isupper() and "." in number:
        raise argparse.ArgumentTypeError(
            f"Decimals are not allowed with binary suffixes like {suffix}. "
            f"Did you mean to use {number}{suffix.lower()} instead?"
        )
    return int(float(number) * _MULTIPLIERS[suffix])


def _is_number(arg: str) -> bool:
    return re.fullmatch(r"-\d+(\.\d*)?|-\.\d+", arg) is not None
