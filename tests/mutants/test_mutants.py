"""The checks find mistakes in the operator; CI tries a fixed few, `make mutants` all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutants.accounts import WORLDS, difference, run_world, stored
from tests.mutants.applying import Moved, Mutant, mutated
from tests.mutants.catalogue import MUTANTS
from tests.mutants.records import Records
from tests.mutants.run import fate

_NAMES = {
    "a load that is unknown after a crash",
    "another pod is chosen after each pass",
    "an adapter vanishes without unload",
    "a pod that is no longer chosen keeps the adapter",
    "the first retry comes after ten seconds",
    "a seventh attempt",
    "the second attempt comes at once",
}
SAMPLE = [mutant for mutant in MUTANTS if mutant.name in _NAMES]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_still_fits_the_code_and_is_python(mutant: Mutant) -> None:
    compile(mutated(mutant), mutant.file, "exec")


def test_a_mutant_whose_text_has_moved_fails_loudly() -> None:
    with pytest.raises(Moved, match=r"is 0 times in controller/reconcile/planning/plan\.py, not once"):
        mutated(Mutant("x", "reconcile/planning/plan.py", "no such text", "", ""))


def test_every_mutant_has_a_name_of_its_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 40


def test_in_the_small_worlds_users_read_what_is_written_down(tmp_path: Path) -> None:
    records = Records()
    try:
        found = {name: (wrong, difference(name, told)) for name, wrong, told in _worlds(tmp_path, records)}
    finally:
        records.restore()
    changed = {name: what for name, what in found.items() if any(what)}
    assert changed == {}, "if meant, `python -m tests.mutants.accounts` writes it down; review the difference"
    assert set(stored()) == set(WORLDS)


def _worlds(folder: Path, records: Records) -> Iterator[tuple[str, str, list[str]]]:
    for name in WORLDS:
        yield name, *run_world(name, folder, records)


@pytest.mark.parametrize("mutant", SAMPLE, ids=lambda mutant: mutant.name)
def test_a_mistake_is_found(mutant: Mutant) -> None:
    assert fate(mutant, 2).check, mutant.why
