"""Scenarios that `twin swarm` found for mutants, reduced by `twin shrink`: the operator passes, the mutant does not.

Each file in `found/` is named after its mutant and is what the command wrote, unchanged:
`twin swarm --seeds 10 --checkout CHECKOUT`, where the checkout is a copy of the operator with that one mistake in it.
"""

from pathlib import Path

import pytest

from tests.mutants.applying import Mutant, copy
from tests.mutants.catalogue import MUTANTS
from twin.experiments import raw_scenario
from twin.experiments.execution.task import Row, Task
from twin.experiments.execution.trial import perform

FOUND = sorted((Path(__file__).parent / "found").glob("*.yaml"))


def run(file: Path, source: str = "") -> Row:
    scenario = raw_scenario.to_scenario(raw_scenario.read(file))
    settings: dict[str, str] = {}
    return perform(Task(key="", variant="", seed=scenario.seed, settings=settings, scenario=scenario, source=source))


def mutant_of(file: Path) -> Mutant:
    return next(mutant for mutant in MUTANTS if mutant.name.replace(" ", "-") == file.stem)


@pytest.mark.parametrize("file", FOUND, ids=lambda file: file.stem)
def test_what_was_found_is_small(file: Path) -> None:
    draft = raw_scenario.read(file)
    assert len(draft.get("faults", ())) <= 2
    assert sum(template.get("count", 1) for template in draft["adapters"]) <= 3
    assert sum(item["spec"]["replicas"] for item in draft["objects"]) <= 3


@pytest.mark.parametrize("file", FOUND, ids=lambda file: file.stem)
def test_the_operator_passes_what_its_mutant_was_found_by(file: Path) -> None:
    row = run(file)
    assert (row.error, row.violation, row.passed) == ("", "", True)


@pytest.mark.parametrize("file", FOUND, ids=lambda file: file.stem)
def test_the_mutant_breaks_what_it_was_found_to_break(file: Path, tmp_path: Path) -> None:
    row = run(file, str(copy(tmp_path, mutant_of(file))))
    violation = file.read_text().splitlines()[0].removeprefix("# Violated ")
    assert row.error == ""
    assert row.violation.partition(":")[0] == violation.partition(":")[0]
