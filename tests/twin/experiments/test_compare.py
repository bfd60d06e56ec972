"""`twin compare`: results, errors and files."""

import json
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.twin.experiments.tiny import a_file
from tests.twin.worlds import adapters
from twin.evaluate.statistics import compare
from twin.experiments.comparison import to_frame
from twin.experiments.design import build_design
from twin.experiments.execution.results import ResultStore, database_path
from twin.experiments.execution.task import Row
from twin.experiments.execution.trial import perform
from twin.scenario import MEASURES

Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]
ROOT = Path(__file__).parents[3]
PER_POD_FIELD = "controller.max_requests_per_pod"
PER_POD = f"{PER_POD_FIELD}=4,8"


MOST_ADAPTERS = """
class MostAdapters:
    name = "most-adapters"

    def choose(self, view):
        return [pod.name for pod in sorted(view.candidates, key=lambda pod: (-pod.adapters, pod.name))[: view.count]]
"""
"""The reverse of least-adapters: a policy made worse on purpose, as a user's own."""


def as_json(command: Command, capsys: Capture, *arguments: object, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert command("compare", *arguments, "--json") == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_policy_against_itself_differs_by_exactly_zero_in_every_measure(
    command: Command, capsys: Capture, tmp_path: Path
) -> None:
    file = a_file(tmp_path, faults=[{"kind": "pod-kill", "pods": {"count": 1}, "at": "1m"}])
    found = as_json(
        command, capsys, file, "--vary", "controller.policy=random,random", "--seeds", 6, "--jobs", 1,
        "--out", tmp_path, "--no-runs",
    )  # fmt: skip
    assert found["runs"]["total"] == 12
    assert len(found["comparisons"]) == len(MEASURES) - 1
    measured = [c for c in found["comparisons"] if c["pairs"]]
    assert len(measured) > 25
    assert all(c["difference"] == c["ci_low"] == c["ci_high"] == 0 and not c["significant"] for c in measured)
    assert list(found["sentences"].values()) == ["identical in all measures of all runs"]


def test_a_policy_made_worse_on_purpose_is_found_with_ten_seeds(
    command: Command, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "worse_on_purpose.py").write_text(MOST_ADAPTERS)
    monkeypatch.syspath_prepend(tmp_path)
    found = as_json(
        command, capsys, a_file(tmp_path), "--vary", "controller.policy=least-adapters,worse_on_purpose:MostAdapters",
        "--seeds", 10, "--jobs", 1, "--out", tmp_path, "--no-runs",
    )  # fmt: skip
    beyond = {c["measure"]: c["difference"] for c in found["comparisons"] if c["significant"]}
    assert beyond["placement.jain"] < -0.3
    assert beyond["placement.pods_used"] == -2
    assert "67 % fewer pods used" in next(iter(found["sentences"].values()))


def test_a_setting_that_nothing_reads_raises_false_alarms_no_more_often_than_stated(tmp_path: Path) -> None:
    design = build_design(a_file(tmp_path), [{}], {}, 120)
    frame = to_frame([perform(design.task(design.baseline, seed)) for seed in design.seeds])
    rng, alarms = np.random.default_rng(7), 0
    for _ in range(200):  # ten runs against ten others that had other luck: unpaired on purpose
        drawn = frame.sample(20, random_state=int(rng.integers(2**32))).reset_index(drop=True)
        drawn["variant"] = ["base"] * 10 + ["other"] * 10
        drawn["seed"] = [*range(10), *range(10)]
        alarms += compare(drawn, "base", ["time_to_running_seconds.mean"])[0].significant
    assert alarms <= 20  # 10 expected; more than 20 once in a thousand


def test_another_checkouts_operator_runs_in_a_process_of_its_own(
    command: Command, capsys: Capture, tmp_path: Path
) -> None:
    same, other = tmp_path / "same", tmp_path / "other"
    for folder in (same, other):
        shutil.copytree(ROOT / "controller", folder / "controller")
    policies = other / "controller/policies/by_count.py"
    text, least = policies.read_text(), "pod.adapters, pod.name) for pod in"
    assert least in text
    policies.write_text(text.replace(least, f"-{least}"))
    found = as_json(
        command, capsys, a_file(tmp_path), "--vary", f"controller.source={ROOT},{same},{other}",
        "--seeds", 3, "--jobs", 1, "--out", tmp_path / "out", "--no-runs",
    )  # fmt: skip
    used = {
        c["variant"].removeprefix("controller.source="): c["difference"]
        for c in found["comparisons"]
        if c["measure"] == "placement.pods_used"
    }
    assert used == {str(same): 0, str(other): -2}
    assert found["sentences"][f"controller.source={same}"] == "identical in all measures of all runs"


def test_too_few_seeds_for_a_claim_are_named_in_the_result(command: Command, capsys: Capture, tmp_path: Path) -> None:
    arguments = [a_file(tmp_path), "--vary", "controller.policy=least-adapters,random", "--jobs", 1, "--out", tmp_path]
    found = as_json(command, capsys, *arguments, "--seeds", 3, "--no-runs")
    assert not any(c["significant"] for c in found["comparisons"])
    assert any(remark.startswith("too few seeds for any significant result: with 3") for remark in found["remarks"])


def test_seeds_auto_goes_on_until_the_interval_is_narrow_enough(
    command: Command, capsys: Capture, tmp_path: Path
) -> None:
    arguments = [
        a_file(tmp_path), "--vary", "controller.policy=least-adapters,random", "--measure", "placement.jain",
        "--seeds", "auto", "--jobs", 1, "--out", tmp_path, "--no-runs", "--max-seeds", 60,
    ]  # fmt: skip
    coarse = as_json(command, capsys, *arguments, "--precision", "50%")
    fine = as_json(command, capsys, *arguments, "--precision", "5%")
    assert len(coarse["seeds"]) == 10
    assert 10 < len(fine["seeds"]) <= 60
    (comparison,) = fine["comparisons"]
    half = (comparison["ci_high"] - comparison["ci_low"]) / 2
    assert half <= 0.06 * comparison["baseline_mean"] or len(fine["seeds"]) == 60


def test_the_page_links_every_point_to_its_run_and_every_link_leads_somewhere(
    command: Command, capsys: Capture, tmp_path: Path
) -> None:
    file = a_file(tmp_path)
    assert command(
        "compare", file, "--vary", "controller.policy=least-adapters,random", "--seeds", 3, "--out", tmp_path,
        "--jobs", 1,
    ) == 0  # fmt: skip
    folder = tmp_path / "tiny/compare-controller.policy"
    page = (folder / "comparison.html").read_text()
    links = set(re.findall(r'href="(runs/[^"]+)"', page))
    assert len(links) == 6
    assert all((folder / link).is_file() for link in links)
    assert "controller.policy=random" in capsys.readouterr().out
    before = (folder / "comparison.json").read_bytes()
    assert command(
        "compare", file, "--vary", "controller.policy=least-adapters,random", "--seeds", 3, "--out", tmp_path,
        "--jobs", 1,
    ) == 0  # fmt: skip
    assert (folder / "comparison.json").read_bytes() == before


def test_runs_that_violate_an_invariant_are_listed_and_exit_with_1(
    command: Command, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import controller.reconcile.planning.plan as plan_module
    from controller.reconcile.actions import Plan, RemoveFinalizer

    monkeypatch.setattr(plan_module, "plan_deletion", lambda *_: Plan((RemoveFinalizer(),)))
    file = a_file(tmp_path, adapters=[adapters(2, leave={"after": "1m"})])
    found = as_json(
        command, capsys, file, "--vary", "controller.policy=least-adapters,random", "--seeds", 2, "--jobs", 1,
        "--out", tmp_path, "--no-runs", code=1,
    )  # fmt: skip
    assert found["runs"]["broken"] == 4
    assert any("runs violated an invariant" in remark and "invariant 6" in remark for remark in found["remarks"])


def test_a_crashed_run_is_left_out_and_listed(
    command: Command, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from twin.experiments.execution import trial

    honest = trial.simulate

    def fragile(scenario: Any) -> Any:
        if scenario.seed == 1 and scenario.controller.policy == "random":
            raise RuntimeError("a bug that\nonly some meet")
        return honest(scenario)

    monkeypatch.setattr(trial, "simulate", fragile)
    found = as_json(
        command, capsys, a_file(tmp_path), "--vary", "controller.policy=least-adapters,random", "--seeds", 3,
        "--jobs", 1, "--out", tmp_path, "--no-runs", code=1,
    )  # fmt: skip
    assert found["runs"] == {"total": 6, "crashed": 1, "broken": 0}
    assert "1 of 6 runs crashed and are left out" in found["remarks"][0]
    assert "RuntimeError: a bug that only some meet" in found["remarks"][0]
    assert {c["pairs"] for c in found["comparisons"] if c["measure"] == "placement.jain"} == {2}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "no axes; use --vary PATH=A,B,C"),
        (["--vary", "controller.policy"], "--vary controller.policy: is not an axis; allowed: PATH=A,B,C"),
        (["--vary", "controller.polcy=random,bin-pack"], 'did you mean "policy"'),
        (["--vary", "controller.policy=random,bin-pak"], "bin-pak: controller.policy: unknown policy"),
        (["--vary", f"{PER_POD_FIELD}=4,many"], f"{PER_POD_FIELD}=many: {PER_POD_FIELD}"),
        (["--vary", "controller.policy=random"], "only one variant"),
        (["--vary", "seed=1,2"], "the seed cannot vary between variants; use --seeds N"),
        (["--vary", "controller.retry.base=2s..5s"], "a grid needs values"),
        (["--vary", "controller.source=.,nowhere"], "nowhere: contains no package `controller`"),
        (["--vary", PER_POD, "--measure", "placement.jane"], 'did you mean "placement.jain"'),
        (["--vary", PER_POD, "--seeds", "some"], "--seeds some: is not a number of seeds"),
        (["--vary", PER_POD, "--precision", "5"], "--precision 5: is not a share"),
        (["--vary", PER_POD, "--address", "tcp://localhost:1"], "joblib runs on this machine only"),
    ],
)  # fmt: skip
def test_an_invalid_comparison_is_refused_in_one_line_before_the_first_run(
    command: Command, capsys: Capture, tmp_path: Path, arguments: list[str], line: str
) -> None:
    out = tmp_path / "out"
    assert command("compare", a_file(tmp_path), *arguments, "--out", out) == 2
    printed, err = capsys.readouterr()
    assert printed == ""
    assert line in err
    assert len(err.splitlines()) == 1
    assert not out.exists()


def test_results_of_another_version_are_not_mixed_in(command: Command, capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "tiny/compare-controller.max_requests_per_pod/runs.parquet"
    with ResultStore(path) as store:
        store.add(Row(key="k", variant="v", seed=0, settings={}))
    with sqlite3.connect(database_path(path)) as database:
        database.execute("UPDATE writer SET lora_twin = '0.0.1'")
    database.close()
    assert command("compare", a_file(tmp_path), "--vary", PER_POD, "--out", tmp_path) == 2
    assert "contains results of another version (lora-twin 0.0.1" in capsys.readouterr().err
    with sqlite3.connect(database_path(path)) as database:
        assert database.execute("SELECT count(*) FROM rows").fetchone() == (1,)
    database.close()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_disk_that_is_full_of_run_folders_blames_no_run_for_it(tmp_path: Path, jobs: int) -> None:
    file = a_file(tmp_path)
    command = [sys.executable, "-m", "twin", "compare", str(file), "--vary", "controller.policy=random,bin-pack"]
    command += ["--seeds", "2", "--jobs", str(jobs), "--out", str(tmp_path)]
    full = subprocess.run(
        command, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)),
    )  # fmt: skip
    assert full.returncode == 2, full.stderr
    assert full.stderr.count("\n") == 1, full.stderr
    assert "cannot be written: File too large; choose another --out" in full.stderr
    again = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(again.stdout)["runs"] == {"total": 4, "crashed": 0, "broken": 0}
