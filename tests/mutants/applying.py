"""A mutant, and a copy of `controller/` with it applied; not a test."""

import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Moved(Exception):
    """The text that a mutant replaces is not in the code exactly once."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One small mistake, as somebody might make it."""

    name: str
    """What a user would see."""
    file: str
    """Below `controller/`."""
    old: str
    new: str
    why: str
    """The class of bug."""


def mutated(mutant: Mutant) -> str:
    """The file's text with the mistake in it.

    Raises:
        Moved: the code has changed, and the mutant has to be written anew.
    """
    text = (ROOT / "controller" / mutant.file).read_text(encoding="utf-8")
    if (found := text.count(mutant.old)) != 1:
        raise Moved(f"{mutant.name}: its old text is {found} times in controller/{mutant.file}, not once")
    return text.replace(mutant.old, mutant.new)


def copy(folder: Path, mutant: Mutant | None) -> Path:
    """Copies the operator below `folder`, with the mutant if there is one; returns the checkout to adopt."""
    changed = mutated(mutant) if mutant is not None else ""
    checkout = folder / "checkout"
    shutil.copytree(ROOT / "controller", checkout / "controller", ignore=shutil.ignore_patterns("__pycache__"))
    if mutant is not None:
        (checkout / "controller" / mutant.file).write_text(changed, encoding="utf-8")
    return checkout
