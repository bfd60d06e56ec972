"""`twin compare-worlds`: one scenario in two worlds, and the report of the differences."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from twin.report import RunResult
from twin.serve.comparison import Row, compare_runs
from twin.trace.lines import AdapterLine, Line, RequestLine

MANIFESTS = Path(__file__).parents[3] / "scenarios" / "manifests"
SCENARIO = f"""\
name: alike
duration: 60s
manifests: [{MANIFESTS / "qwen-coder.yaml"}, {MANIFESTS / "quickstart-adapters.yaml"}]
cluster:
  nodes: {{count: 2, gpus: 4}}
  engines: {{default: {{startup: 5s, load: 1s}}}}
"""


def an_adapter(t: float, phase: str, *pods: str) -> AdapterLine:
    return AdapterLine(
        t=t, object="default/sql", event="updated", uid="u", generation=1, artifact="a", phase=phase, instances=[*pods]
    )


def a_load(t: float) -> RequestLine:
    return RequestLine(t=t, object="default/pod-0", id=1, event="sent", by="me", verb="load", adapter="sql")


def found(lines: Sequence[Line], **measures: Any) -> RunResult:
    return RunResult(lines, measures)


def by_name(rows: Sequence[Row]) -> dict[str, Row]:
    return {row.name: row for row in rows}


def test_measures_phases_attempts_and_pods_stand_side_by_side() -> None:
    simulated = found([an_adapter(0, "Pending"), a_load(1), an_adapter(4, "Running", "pod-0")], loads={"attempted": 1})
    served = found(
        [an_adapter(0, "Pending"), a_load(1), a_load(3), an_adapter(5, "Running", "pod-1")], loads={"attempted": 2}
    )
    rows = by_name(compare_runs(simulated, served))
    assert (rows["loads.attempted"].difference, rows["attempts.most"].served) == (1.0, 2.0)
    assert rows["phase.Pending.mean_seconds"].difference == 0.25
    assert rows["placement.same_pods"].served == 0.0


@pytest.mark.parametrize(
    ("here", "there", "matters"),
    [
        (10.0, 10.4, False),
        (10.0, 10.6, True),
        (10.0, 9.4, True),
        (0.0, 0.0, False),
        (0.0, 1.0, True),
        (None, 1.0, True),
    ],
)
def test_differences_above_five_percent_are_reported(here: float | None, there: float, matters: bool) -> None:
    assert Row("a", here, there).exceeds_threshold is matters


def test_inputs_and_measures_of_only_one_world_are_left_out() -> None:
    rows = by_name(compare_runs(found([], seed=3, reconciles={"total": 5}), found([], seed=3, reconciles={"total": 0})))
    assert not rows.keys() & {"seed", "reconciles.total"}


def test_both_worlds_place_alike_and_leave_a_run_folder_each(tmp_path: Path) -> None:
    file = tmp_path / "alike.yaml"
    file.write_text(SCENARIO)
    words = [
        sys.executable,
        "-m",
        "twin",
        "compare-worlds",
        str(file),
        "--speed",
        "6",
        "--out",
        str(tmp_path),
        "--json",
    ]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=90, check=False)
    assert ran.returncode == 0, ran.stderr
    rows = {row["measure"]: row for row in json.loads(ran.stdout)}
    assert (rows["adapters.running"]["simulated"], rows["adapters.running"]["served"]) == (3.0, 3.0)
    assert rows["placement.pods_used"]["difference"] == 0.0
    for world in ("simulated", "served"):
        assert (tmp_path / f"alike-{world}" / "0" / "report.html").is_file()
