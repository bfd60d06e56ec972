"""What is wrong with an input, said to a person: where it is, what it is, what would be right.

Every fault of a file is gathered before anything is refused, so that one run of `twin check` shows them all.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

Path = tuple[str | int, ...]
"""Where a value stands in a document: keys and list indices from the top."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of an input. `line` and `column` count from 1; 0 says that the whole file is meant."""

    file: str
    line: int
    column: int
    path: str
    message: str
    allowed: str = ""

    def __str__(self) -> str:
        """`file:line:column: path: what is wrong, what is allowed`, on one line."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        said = f"{self.message}; {self.allowed}" if self.allowed else self.message
        text = f"{place}: {self.path}: {said}" if self.path else f"{place}: {said}"
        return " ".join(text.split())


class ScenarioErrors(Exception):
    """The input cannot be used. `problems` says why, in the order in which they stand in the files."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(map(str, self.problems)))


def dotted(path: Sequence[str | int]) -> str:
    """`('faults', 0, 'kind')` as `faults.0.kind`: the form that `--set` takes."""
    return ".".join(map(str, path))


def choices(given: object, allowed: Iterable[str]) -> str:
    """A "did you mean" if one of `allowed` is close to `given`, then all of them."""
    names = list(allowed)
    listed = f"allowed: {', '.join(names)}" if names else "nothing is allowed here"
    close = closest(given, names)
    return f'did you mean "{close}"? {listed}' if close else listed


def closest(given: object, allowed: Iterable[str]) -> str:
    """The one of `allowed` that `given` probably means, or nothing."""
    names = {name.lower(): name for name in allowed}
    found = get_close_matches(str(given).lower().replace("_", "-"), [n.replace("_", "-") for n in names], 1, 0.6)
    return next((names[n] for n in names if found and n.replace("_", "-") == found[0]), "")
