"""Errors in scenario files: place, message, allowed values; and notes on valid ones.

All errors of a file are collected before it is refused, so that one `twin check` shows them all.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

Path = tuple[str | int, ...]
"""Path of a value in a document: keys and list indices from the top."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One error. `line` and `column` count from 1; 0 stands for the whole file. `file` may be empty."""

    file: str
    line: int
    column: int
    path: str
    message: str
    allowed: str = ""

    def __str__(self) -> str:
        """Return `file:line:column: path: message; allowed` on one line."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        message = f"{self.message}; {self.allowed}" if self.allowed else self.message
        text = ": ".join(part for part in (place, self.path, message) if part)
        return " ".join(text.split())


@dataclass(frozen=True, slots=True)
class Note:
    """Something noteworthy. The place is not in the text: a resolved scenario has the same notes at other places."""

    text: str
    place: str = ""
    """FILE:LINE; empty if the note is on the scenario as a whole."""


class ScenarioErrors(Exception):
    """A scenario that is not valid; `problems` has its errors in the order of the files."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(map(str, self.problems)))


def dotted(path: Sequence[str | int]) -> str:
    """Return a path in the form of `--set`, such as `faults.0.kind`."""
    return ".".join(map(str, path))


def choices(name: object, allowed: Iterable[str]) -> str:
    """Return the allowed values, preceded by a suggestion if one of them is close to `name`."""
    names = list(allowed)
    listed = f"allowed: {', '.join(names)}" if names else "nothing is allowed here"
    close = closest(name, names)
    return f'did you mean "{close}"? {listed}' if close else listed


def closest(name: object, allowed: Iterable[str]) -> str:
    """Return the one of `allowed` that is closest to `name`, or an empty text."""
    names = {name.lower(): name for name in allowed}
    matches = get_close_matches(str(name).lower().replace("_", "-"), [n.replace("_", "-") for n in names], 1, 0.6)
    return next((names[n] for n in names if matches and n.replace("_", "-") == matches[0]), "")
