"""Random scenarios: each is valid, together they cover the fault catalogue, and a mutant is found."""

import gc
import json
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from tests.twin.synthetic import a_run
from twin.experiments import random_scenario, raw_scenario, shrink
from twin.experiments.execution.results import ResultStore
from twin.experiments.execution.task import Row, Task
from twin.experiments.histories import HISTORIES, histories
from twin.experiments.random_mistakes import MISTAKES
from twin.experiments.swarm import Swarm, measure_coverage
from twin.kernel.random_streams import Streams
from twin.scenario import FAULTS, load
from twin.trace.lines import AdapterLine

Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]
ROOT = Path(__file__).parents[3]
SLICES = (range(312, 340),)
"""The fixed seeds of CI, which meet every history; `twin swarm --seeds 1000` is the nightly size."""
MISTAKEN = range(5)
"""`twin swarm --mistakes --seeds 1000` is the nightly size."""


def a_mutant(folder: Path) -> Path:
    """Write an operator whose retry delays never grow."""
    shutil.copytree(ROOT / "controller", folder / "controller")
    file = folder / "controller/backoff.py"
    text = file.read_text()
    mutated = text.replace("self.base * self.factor ** min(failures - 1, 64)", "self.base")
    assert mutated != text
    file.write_text(mutated)
    return folder


def test_every_kind_of_the_catalogue_can_be_drawn() -> None:
    for kind, model in FAULTS.items():
        for seed in range(8):
            drawn = random_scenario.fault(kind, Streams(seed).get(kind))
            assert model.model_validate(drawn).kind == kind


def test_every_seed_gives_a_scenario_that_can_be_run_and_always_the_same() -> None:
    for seed in range(60):
        assert random_scenario.draw(seed) == random_scenario.draw(seed)
        assert raw_scenario.to_scenario(random_scenario.draw(seed)).seed == seed


def test_in_a_fixed_slice_no_invariant_is_broken_and_the_catalogue_is_covered(tmp_path: Path) -> None:
    from twin.experiments.execution.trial import perform

    with ResultStore(tmp_path / "swarm.parquet") as store:
        tasks = [task for seeds in SLICES for task in Swarm(seeds, tuple(FAULTS)).tasks(store)]
        coverage = measure_coverage(map(perform, tasks))
    assert coverage.runs == sum(map(len, SLICES))
    assert [row.error for row in coverage.crashed] == []
    assert {name: [row.violation for row in rows] for name, rows in coverage.broken.items()} == {}
    assert sum(coverage.faults[kind] > 0 for kind in FAULTS) >= 0.8 * len(FAULTS)
    assert {"Pending", "Loading", "Running", "Deleting"} <= {phase for _, phase in coverage.phases}
    assert set(coverage.histories) == set(HISTORIES)
    assert coverage.as_json(tuple(FAULTS))["history_pairs"]["met"] == len(coverage.history_pairs) >= 20


def test_runs_leave_no_simulated_clusters_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    from twin.experiments.execution import trial

    class Cluster:
        def __init__(self) -> None:
            self.itself = self

    made: list[weakref.ref[Cluster]] = []

    def perform_local(task: Task) -> Row:
        made.append(weakref.ref(Cluster()))
        return trial.failed_row(task, "")

    monkeypatch.setattr(trial, "perform_local", perform_local)
    task = Swarm(range(1), tuple(FAULTS)).task(0)
    gc.disable()
    try:
        for _ in range(25):
            trial.perform(task)
        assert sum(cluster() is not None for cluster in made) < 10
    finally:
        gc.enable()


def test_a_history_is_met_only_if_the_record_shows_it() -> None:
    failed = AdapterLine(
        t=1.0, object="default/a", event="updated", uid="1", generation=1, artifact="x", phase="Failed"
    )
    deleting = structs.replace(failed, deleting=True)
    again = AdapterLine(t=3.0, object="default/a", event="created", uid="2", generation=1, artifact="x")
    gone = structs.replace(deleting, event="deleted")
    assert histories([*a_run(), failed, deleting, gone, again]) == ["recreated-while-failed"]
    fine = structs.replace(failed, phase="Running")
    assert histories([*a_run(), fine, structs.replace(fine, deleting=True), gone, again]) == []


def test_worlds_in_which_only_users_make_mistakes_have_no_violations(tmp_path: Path) -> None:
    from twin.experiments.execution.trial import perform

    crew = Swarm(MISTAKEN, tuple(FAULTS), mistakes=True)
    with ResultStore(tmp_path / "swarm.parquet") as store:
        coverage = measure_coverage(map(perform, crew.tasks(store)))
    assert [row.error for row in coverage.crashed] == []
    assert {name: [row.violation for row in rows] for name, rows in coverage.broken.items()} == {}
    assert not coverage.faults


@pytest.mark.parametrize("name", MISTAKES)
def test_every_mistake_gives_a_scenario_that_can_be_run(name: str) -> None:
    draft = random_scenario.draw(7, ())
    MISTAKES[name](draft, Streams(7).get("mistake"))
    assert raw_scenario.to_scenario(draft).faults == ()


def test_a_mutant_is_found_and_shrunk_to_a_test_that_only_the_mutant_fails(
    command: Command, capsys: Capture, tmp_path: Path
) -> None:
    mutant = a_mutant(tmp_path / "mutant")
    kinds = [part for kind in ("connection-refused", "http-error", "pod-kill") for part in ("--fault", kind)]
    arguments = ["swarm", "--seeds", 6, "--jobs", 1, "--checkout", mutant, "--out", tmp_path / "out", *kinds]
    assert command(*arguments, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    (result,) = (entry for entry in report["found"] if entry["invariant"] == "5")
    draft = raw_scenario.read(Path(result["file"]))
    assert len(draft["faults"]) <= 2
    assert sum(template.get("count", 1) for template in draft["adapters"]) <= 3
    assert sum(item["spec"]["replicas"] for item in draft["objects"]) <= 3
    assert command("run", result["file"], "--out", tmp_path) == 0  # the operator as it is
    with pytest.raises(shrink.NothingToShrink):
        shrink.shrink(draft)
    assert shrink.shrink(draft, source=str(mutant)).invariant == "5"
    assert load(result["file"]).expect


def test_shrink_takes_a_run_folder_and_leaves_a_scenario_beside_it(
    command: Command, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import controller.reconcile.planning.plan as plan_module
    from controller.reconcile.actions import Plan, RemoveFinalizer

    monkeypatch.setattr(plan_module, "plan_deletion", lambda *_: Plan((RemoveFinalizer(),)))
    draft: dict[str, Any] = random_scenario.draw(9)
    draft["adapters"] = [{**draft["adapters"][0], "leave": {"at": "4m"}}]
    (tmp_path / "large.yaml").write_text(raw_scenario.to_yaml(draft, "found"))
    assert command("run", tmp_path / "large.yaml", "--out", tmp_path) == 1
    capsys.readouterr()
    assert command("shrink", tmp_path / "swarm-9/9") == 0
    small = tmp_path / "swarm-9/9-shrunk.yaml"
    assert "still violates invariant 6" in capsys.readouterr().out
    assert load(small).faults == ()
    assert command("run", small, "--out", tmp_path) == 1


def test_a_run_that_broke_nothing_cannot_be_shrunk(command: Command, capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "fine.yaml").write_text(raw_scenario.to_yaml(random_scenario.draw(100), "fine"))
    assert command("run", tmp_path / "fine.yaml", "--out", tmp_path) == 0
    capsys.readouterr()
    assert command("shrink", tmp_path / "swarm-100/100") == 2
    assert "nothing to shrink: run again, no invariant is violated" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["swarm", "--fault", "conection-refused"], 'did you mean "connection-refused"'),
        (["swarm", "--checkout", "nowhere"], "--checkout nowhere: contains no package `controller`"),
        (["shrink", "nowhere"], "nowhere: not a folder"),
    ],
)
def test_invalid_swarms_and_shrinks_are_refused(
    command: Command, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(*arguments) == 2
    err = capsys.readouterr().err
    assert line in err
    assert len(err.splitlines()) == 1
