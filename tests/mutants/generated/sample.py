"""Random mistakes by seed: those of the operators in the modules that a simulated world runs; not a test."""

from functools import cache
from pathlib import Path
from random import Random

from tests.mutants.applying import ROOT
from tests.mutants.generated.equivalent import EQUIVALENT
from tests.mutants.generated.operators import Mutation, mutations

PACKAGES = ("api", "cache", "demand", "engine", "policies", "rebalance", "reconcile", "requests", "runtime")
MODULES = ("backoff.py", "controller.py", "operator.py")
"""Parts of `controller/` that a simulated world runs: all but the sidecar, the REST client, options and `main`."""


@cache
def source_of(file: str) -> bytes:
    """Return a file below `controller/` as it was when it was read first: it may change while mistakes are judged."""
    return (ROOT / "controller" / file).read_bytes()


def every_mutation() -> list[Mutation]:
    """Return all mistakes that the operators make."""
    found = []
    for file in _files():
        name = file.relative_to(ROOT / "controller").as_posix()
        found += mutations(name, source_of(name))
    return found


def all_mutations() -> list[Mutation]:
    """Return all mistakes that are not listed as equivalent."""
    return [item for item in every_mutation() if key(item) not in EQUIVALENT]


def draw(count: int, seed: int) -> list[Mutation]:
    """Return a random sample; each mistake is as likely as any other."""
    every = all_mutations()
    return Random(seed).sample(every, min(count, len(every)))


def key(mutation: Mutation) -> tuple[str, str, str, str]:
    """Return what names a mistake as long as its function is unchanged."""
    old, new = (" ".join(text.split()) for text in (mutation.old, mutation.new))
    return mutation.file, mutation.function, old, new


def _files() -> list[Path]:
    folder = ROOT / "controller"
    nested = [file for package in PACKAGES for file in sorted((folder / package).rglob("*.py"))]
    return [*nested, *(folder / name for name in MODULES)]
