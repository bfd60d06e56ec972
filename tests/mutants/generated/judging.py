"""Judges one mistake in a process of its own: the checks that reach it run until one fails; not a test."""

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from time import process_time
from typing import Literal

from tests.mutants.generated import unit_tests
from tests.mutants.generated.children import Ending, Tell, limit_step
from tests.mutants.generated.operators import Mutation
from tests.mutants.generated.reach import Reach
from tests.mutants.generated.swapping import swap
from tests.mutants.generated.user_checks import Check
from tests.mutants.records import Records

Side = Literal["user", "tests"]
_FACTOR = 5
_LEAST = 5.0
"""A check may take `_FACTOR` times its recorded CPU time and `_LEAST` seconds more."""


@dataclass(frozen=True, slots=True)
class Case:
    """One mistake and one side."""

    mutation: Mutation
    side: Side
    order: Sequence[str]
    """Checks that reach it."""
    reach: Mapping[str, Reach]
    checks: Mapping[str, Check]
    budget: float = inf
    """CPU seconds after which no further check begins."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one side for one mistake."""

    mutation: Mutation
    side: Side
    check: str
    """Check that failed; empty if none did."""
    what: str
    tried: int
    """Number of checks that began."""
    reaching: int
    """Number of checks that run the changed line."""
    differing: tuple[str, ...]
    """Checks of a user whose records are other ones than without the mistake."""
    cpu: float
    """Seconds."""


def order_checks(mutation: Mutation, reach: Mapping[str, Reach], kills: Counter[str]) -> list[str]:
    """Return the checks that run the mistake, those first that find most mistakes for their time."""
    meeting = [name for name, entry in reach.items() if entry.meets(mutation)]
    return sorted(meeting, key=lambda name: (reach[name].cost + 0.05) / (1 + kills[name]))


def judge(case: Case, tell: Tell) -> None:
    """Run the checks of a case; tell the name of each that begins, and the first that fails."""

    def began(name: str) -> None:
        limit_step(_LEAST + _FACTOR * case.reach[name].cost)
        tell(["began", name])

    if not case.order:
        return
    swap(case.mutation)
    began(case.order[0])
    try:
        if case.side == "user":
            _as_user(case, tell, began)
        elif failed := unit_tests.first_failure(case.order, began):
            tell(["found", failed, "failed"])
    except Exception as error:  # the operator itself failed
        tell(["found", "", f"{type(error).__name__}: {error}"])


def _as_user(case: Case, tell: Tell, began: unit_tests.Began) -> None:
    records = Records()
    with tempfile.TemporaryDirectory() as folder:
        for name in case.order:
            began(name)
            records.forget()
            if what := case.checks[name](Path(folder), records):
                tell(["found", name, what[:500]])
                return
            if records.digest() != case.reach[name].record:
                tell(["differs", name])
            if process_time() > case.budget:
                return


def finding(ending: Ending[Case]) -> Finding:
    """Return the result of a case from what its process has told."""
    case = ending.job
    names = [name for kind, name, *_ in ending.told if kind == "began"]
    last = names[-1] if names else ""
    found = next(([name or last, what] for kind, name, *rest in ending.told if kind == "found" for what in rest), None)
    if ending.death and not last:
        raise RuntimeError(f"{case.mutation}: cannot be put into the operator")
    check, what = found or ((last, ending.death) if ending.death else ("", ""))
    differing = tuple(name for kind, name, *_ in ending.told if kind == "differs")
    return Finding(
        case.mutation, case.side, check, " ".join(what.split()), len(set(names)), len(case.order), differing, ending.cpu
    )
