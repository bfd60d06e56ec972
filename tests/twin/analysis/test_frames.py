"""Frames of runs: tidy, with units, and in agreement with the summary of the same run."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.twin.experiments.tiny import a_file
from twin import analysis
from twin.runs import folder as runfolder

TRAFFIC = {"rate": "4/s", "from": "1m"}
FAULTS = [
    {"kind": "connection-refused", "pods": "all", "from": "20s", "until": "40s"},
    {"kind": "pod-kill", "pods": {"count": 1}, "at": "90s"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run with refused loads, a deleted pod and user traffic."""
    tmp = tmp_path_factory.mktemp("run")
    return analysis.run(a_file(tmp, traffic=TRAFFIC, faults=FAULTS), seed=3, out=tmp)


@pytest.fixture(scope="module")
def summary(folder: Path) -> "pd.Series[float]":
    return analysis.runs(folder).iloc[0]


def test_a_frame_of_runs_has_the_numbers_of_the_summary(folder: Path, summary: "pd.Series[float]") -> None:
    said = runfolder.read(folder).summary
    assert summary["loads.attempted"] == said["loads"]["attempted"]
    assert summary["seed"] == 3


def test_every_load_that_was_counted_is_an_attempt(folder: Path, summary: "pd.Series[float]") -> None:
    attempts = analysis.attempts(folder)
    outcomes = attempts["outcome"].value_counts()
    assert len(attempts) == summary["loads.attempted"]
    assert outcomes["loaded"] == summary["loads.succeeded"]
    assert outcomes["retriable"] == summary["loads.failed_retriable"] > 0
    again = attempts[attempts["attempt"] > 1]
    assert (again["waited_seconds"] >= 5).all()
    assert attempts.loc[attempts["attempt"] == 1, "waited_seconds"].isna().all()


def test_loads_and_placements_agree(folder: Path) -> None:
    placements, loads = analysis.placements(folder), analysis.loads(folder)
    assert (placements["state"] == "loaded").sum() == len(loads)
    assert set(loads["node"]) == set(placements["node"])
    by_area = analysis.adapters_held(placements, 180.0).set_index("pod")
    first = loads.groupby("pod")["from_seconds"].min()
    by_stays = loads.groupby("pod")["held_seconds"].sum() / (180.0 - first)
    pd.testing.assert_series_equal(by_area["mean_adapters"], by_stays, check_names=False, check_index_type=False)


def test_traffic_adds_up_to_the_summary(folder: Path, summary: "pd.Series[float]") -> None:
    traffic = analysis.traffic(folder)
    assert traffic["requests"].sum() == summary["traffic.requests"] > 100
    assert traffic["cold"].sum() == summary["traffic.cold"]
    assert set(traffic["namespace"]) == {"default"}
    assert {"time_seconds", "ttft_p95_seconds", "e2e_p95_seconds"} <= set(traffic)


def test_settings_of_a_sweep_are_numbers_in_their_units(tmp_path: Path) -> None:
    vary = {
        "controller.retry.base": ["500ms", "2m"],
        "controller.max_requests_per_pod": [4, 8],
        "controller.policy": ["random"],
    }
    runs = analysis.sweep(a_file(tmp_path), vary, seeds=1, jobs=1, out=tmp_path)
    assert runs["setting.controller.retry.base_seconds"].unique().tolist() == [0.5, 120.0]
    assert runs["setting.controller.max_requests_per_pod"].dtype == np.int64
    assert set(runs["setting.controller.policy"]) == {"random"}
    assert list(runs["setting.controller.max_requests_per_pod"]) == [4, 8, 4, 8]


def test_a_folder_without_runs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(runfolder.FolderError, match="contains no run folder"):
        analysis.runs(tmp_path)


def test_gpus_are_counted_for_as_long_as_pods_have_them(folder: Path, summary: "pd.Series[float]") -> None:
    # Three pods of one GPU for three minutes; one is killed, and takes up to its grace to end beside its successor.
    assert 3 * 3 / 60 * 0.95 < summary["gpu_hours"] < 3.6 * 3 / 60
