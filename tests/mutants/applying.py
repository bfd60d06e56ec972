"""A mutant, and a copy of `controller/` with it applied; not a test."""

import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Moved(Exception):
    """The text that a mutant replaces is not in the code exactly once."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One small mistake in the code."""

    name: str
    """Effect for a user."""
    file: str
    """Below `controller/`."""
    old: str
    new: str
    why: str
    """The class of bug."""


def mutated(mutant: Mutant) -> str:
    """Return the file's text with the mistake.

    Raises:
        Moved: the code has changed, and the mutant has to be adapted.
    """
    text = (ROOT / "controller" / mutant.file).read_text(encoding="utf-8")
    if (count := text.count(mutant.old)) != 1:
        raise Moved(f"{mutant.name}: its old text is {count} times in controller/{mutant.file}, not once")
    return text.replace(mutant.old, mutant.new)


def copy(folder: Path, mutant: Mutant | None) -> Path:
    """Copy the operator below `folder`, with the mutant if there is one; return the checkout to adopt."""
    changed = mutated(mutant) if mutant is not None else ""
    checkout = folder / "checkout"
    shutil.copytree(ROOT / "controller", checkout / "controller", ignore=shutil.ignore_patterns("__pycache__"))
    if mutant is not None:
        (checkout / "controller" / mutant.file).write_text(changed, encoding="utf-8")
    return checkout
