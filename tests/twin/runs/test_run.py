"""From a scenario file to an evaluated run, with the smallest scenario."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.twin.synthetic import a_run
from twin.evaluate.judge import evaluate
from twin.runs import folder as runfolder
from twin.runs.run import run_to_folder, simulate_and_judge
from twin.scenario import Scenario, load_all

QUICKSTART = Path(__file__).parents[3] / "scenarios" / "quickstart.yaml"


@pytest.fixture
def scenario() -> Scenario:
    (scenario,), problems = load_all([QUICKSTART], {}, None)
    assert problems == []
    return scenario


def test_a_run_folder_is_enough_to_run_it_again(scenario: Scenario, tmp_path: Path) -> None:
    findings, page = run_to_folder(scenario, tmp_path)
    assert page.is_file()
    folder = runfolder.read(page.parent)
    (again,), problems = load_all([page.with_name(runfolder.SCENARIO)], {}, None)
    assert problems == []
    assert runfolder.summary_bytes(simulate_and_judge(again)) == (page.parent / runfolder.SUMMARY).read_bytes()
    assert folder.lines() == list(findings.lines)


def test_a_progress_callback_does_not_change_the_run(scenario: Scenario) -> None:
    watched: list[float] = []
    assert list(simulate_and_judge(scenario, watched.append).lines) == list(simulate_and_judge(scenario).lines)
    assert watched == sorted(watched)
    assert watched[-1] == scenario.duration


def test_an_interrupt_ends_the_run_cleanly_and_keeps_its_trace(scenario: Scenario) -> None:
    def impatient(t: float) -> None:
        if t >= 60:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    findings = simulate_and_judge(scenario, impatient)
    assert findings.partial
    assert 60 <= findings.covered < 70
    assert signal.getsignal(signal.SIGINT) is before


def test_a_foreign_folder_is_noticed_before_the_run(scenario: Scenario, tmp_path: Path) -> None:
    (tmp_path / "quickstart" / "0").mkdir(parents=True)
    (tmp_path / "quickstart" / "0" / "thesis.txt").touch()
    with pytest.raises(runfolder.FolderError, match="not a run folder"):
        run_to_folder(scenario, tmp_path, lambda t: pytest.fail("it ran"))


def test_an_interrupted_run_owes_nothing_after_its_end() -> None:
    lines = [line for line in a_run() if line.t < 700]
    assert not [v for v in evaluate(lines, [], partial=True).violations if v.t > 700]


def test_two_processes_with_other_hash_seeds_write_the_same_bytes(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from twin.runs.run import run_to_folder\n"
        "from twin.scenario import load_all\n"
        "(scenario,), _ = load_all([Path(sys.argv[1])], {'duration': '12m'}, int(sys.argv[3]))\n"
        "run_to_folder(scenario, Path(sys.argv[2]))\n"
    )
    mixed = Path(__file__).parents[2] / "data" / "mixed.yaml"

    def written(hash_seed: str, seed: str) -> dict[str, bytes]:
        out = tmp_path / f"{hash_seed}-{seed}"
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        subprocess.run([sys.executable, "-c", program, mixed, out, seed], check=True, env=environment)
        folder = out / "mixed" / seed
        names = (runfolder.EVENTS, runfolder.SUMMARY, runfolder.SCENARIO, "placement.parquet")
        return {name: (folder / name).read_bytes() for name in names}

    first = written("1", "5")
    assert written("4242", "5") == first
    assert written("1", "6")[runfolder.EVENTS] != first[runfolder.EVENTS]
