"""`env`, the program that sets variables for another command: `env [-i] [-u NAME] [NAME=VALUE]... COMMAND`.

Sources: POSIX.1-2017, `env`; `-C` and `-S` are those of GNU coreutils.
"""

import re
import shlex
from collections.abc import Mapping, Sequence

from formats.errors import FormatError

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_WRAPPERS = ("exec", "nohup", "--")
"""Words before `env`: of a shell, and the end of the options of an init program such as `tini`."""
_WITH_VALUE = re.compile(r"(-u|-C|-S|--unset=?|--chdir=?|--split-string=?)(.*)", re.DOTALL)


def unwrap_env(words: Sequence[str], env: Mapping[str, str]) -> tuple[Sequence[str], Mapping[str, str]]:
    """Return the command that `env` runs, with its environment; without `env` both stay as they are.

    Raises:
        FormatError: if the text of `-S` has an open quote.
    """
    start = _start(words)
    if start is None:
        return words, env
    rest, variables = _options(list(words[start + 1 :]), dict(env))
    while rest and (assignment := _ASSIGNMENT.fullmatch(rest[0])):
        variables[assignment[1]] = assignment[2]
        rest = rest[1:]
    return unwrap_env(rest, variables)


def _start(words: Sequence[str]) -> int | None:
    """Return the index of `env` at the start of a command, or behind a wrapper."""
    for index, word in enumerate(words):
        if word.rpartition("/")[2] == "env" and (index == 0 or words[index - 1] in _WRAPPERS):
            return index
    return None


def _options(words: list[str], env: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """Apply the options; return the words behind them."""
    while words and words[0].startswith("-"):
        option, *words = words
        if option == "--":
            break
        if option in ("-", "-i", "--ignore-environment"):
            env = {}
        elif match := _WITH_VALUE.fullmatch(option):
            value = match[2] or (words.pop(0) if words else "")
            if match[1].startswith(("-u", "--unset")):
                env.pop(value, None)
            elif match[1].startswith(("-S", "--split")):
                words = [*_split(value), *words]
    return words, env


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise FormatError(f"env -S {text}: {error}") from None
