"""`twin run` with a calibrated profile predicts loads that the fit has not seen, held against the real server."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fake_vllm.engine.timing import DEFAULT_TIMING
from tests.twin.calibration.test_step_fit import RANK_16
from tests.twin.worlds import a_scenario, adapters, deployment
from twin.calibration import profile_yaml
from twin.calibration.load_test.records import LevelRun, read_load_test
from twin.calibration.step_fit.calibrated import calibration_of
from twin.calibration.step_fit.fit import fit_steps
from twin.evaluate import invariants
from twin.evaluate.measures import summarise
from twin.sim.simulation import simulate

FLAGS = ("--max-loras", "2", "--max-cpu-loras", "4", "--max-lora-rank", "16", "--max-num-batched-tokens", "2048")
_APART = 60.0  # seconds between the runs of a level


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the profile that is fitted to one half of the levels."""
    file = tmp_path_factory.mktemp("profile") / "calibrated.yaml"
    fit = fit_steps([read_load_test(RANK_16)], DEFAULT_TIMING)
    file.write_text(profile_yaml(calibration_of(fit, [RANK_16.name])))
    return file


@pytest.mark.parametrize(
    ("concurrency", "adapter_count", "prompt"),
    [(1, 1, 64), (2, 1, 384), (4, 1, 64), (2, 2, 64), (4, 2, 384), (8, 2, 64)],
)
def test_a_scenario_predicts_the_load_of_a_level_that_was_held_back(
    concurrency: int, adapter_count: int, prompt: int, profile: Path, tmp_path: Path
) -> None:
    runs = [
        run
        for run in read_load_test(RANK_16).runs
        if (run.level.concurrency, run.level.adapters, run.level.prompt_tokens) == (concurrency, adapter_count, prompt)
    ]
    requests = [request for run in runs for request in run.requests]
    played = traffic_of(played_load(runs, adapter_count, profile, tmp_path))
    assert played["ttft_seconds"]["p50"] == pytest.approx(
        float(np.median([request.time_to_first_token for request in requests])), rel=0.3
    )
    assert played["e2e_seconds"]["p50"] == pytest.approx(
        float(np.median([request.last - request.sent for request in requests])), rel=0.25
    )


def played_load(runs: list[LevelRun], adapter_count: int, profile: Path, folder: Path) -> list[Any]:
    """Return the record of a scenario that sends the requests of these runs when the load test sent them."""
    with (folder / "requests.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("time", "prompt_tokens", "output_tokens", "adapter"))
        for number, run in enumerate(runs):
            rows = sorted((request.sent, index, request) for index, request in enumerate(run.requests))
            for sent, index, request in rows:
                lengths = (request.prompt_tokens, request.output_tokens)
                table.writerow((f"{number * _APART + sent:.6f}", *lengths, f"a-{index % adapter_count}"))
    engines = deployment(1)
    engines["spec"]["template"]["spec"]["containers"][0]["command"] += FLAGS
    engine = {"parameters": str(profile), "startup": "2s", "load": "10ms"}
    scenario = a_scenario(
        folder,
        objects=[engines],
        cluster={"engines": {"default": engine}},
        adapters=[adapters(adapter_count, replicas=1)],
        traffic={"trace": "requests.csv", "from": "2m"},
    )
    return list(simulate(scenario).lines)


def traffic_of(lines: list[Any]) -> dict[str, Any]:
    result: dict[str, Any] = summarise(lines, invariants.check(lines))["traffic"]
    return result
