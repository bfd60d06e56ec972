"""Deployments of vLLM as public charts and samples have them: what is simulated, and what `twin check` says is not.

The files in `tests/data/deployments` have the shapes of their sources, reduced; each names its own.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from twin.scenario import Scenario, ScenarioErrors, load
from twin.sim.simulation import simulate
from twin.trace.lines import EngineLine, PodLine

FILES = Path(__file__).parents[2] / "data/deployments"
WITHOUT_ENGINE = "no engine runs in its pods"


def a_scenario(folder: Path, name: str) -> Scenario:
    file = folder / "s.yaml"
    engines = "cluster: {engines: {default: {startup: 5s}}}"
    file.write_text(f"name: {name}\nduration: 40s\nmanifests: [{name}.yaml]\n{engines}\n")
    (folder / f"{name}.yaml").write_text((FILES / f"{name}.yaml").read_text(encoding="utf-8"))
    return load(file)


def places(scenario: Scenario) -> dict[str, str]:
    """Return the line of each note that has a place, by its text."""
    return {text: place.rpartition(":")[2] for text, place in scenario.places.items()}


@pytest.mark.parametrize(
    ("name", "engines", "notes"),
    [
        ("vllm-docs", {"mistral": 1}, {"Deployment default/mistral: fields of its pods": "22"}),
        (
            "production-stack",
            {"stack-llama-deployment-vllm": 2},
            {
                f"Deployment default/stack-deployment-router: {WITHOUT_ENGINE}": "54",
                "ScaledObject default/stack-llama: ignored: ScaledObject is not simulated: replicas stay": "62",
                "Role default/stack-pod-reader: ignored: Role is not simulated: access rights": "6",
            },
        ),
        (
            "production-stack-ray",
            {"stack-distilgpt2-raycluster": 1},
            {f"RayCluster default/stack-distilgpt2-raycluster (ray): {WITHOUT_ENGINE}": "29"},
        ),
        ("kuberay-serve", {}, {"RayService default/serve-llm: Ray Serve's applications are not simulated": "6"}),
        ("lws-docs", {"llama405": 2}, {f"LeaderWorkerSet default/llama405 (worker): {WITHOUT_ENGINE}": "27"}),
        (
            "lws-data-parallel",
            {"wide-ep-decode": 2},
            {"LeaderWorkerSet default/wide-ep-decode: exclusive placement is not simulated": "6"},
        ),
        ("aibrix-adapter", {"qwen-coder": 1}, {"PodAutoscaler default/qwen-coder-apa: ignored": "33"}),
        (
            "aibrix-disaggregated",
            {"r1-1p1d": 2},
            {},
        ),
        (
            "llm-d",
            {"pd-modelservice-decode": 1, "pd-modelservice-prefill": 1},
            {"InferencePool default/pd: ignored: InferencePool is not simulated: requests reach the pods": "46"},
        ),
    ],
)
def test_what_a_public_deployment_becomes(tmp_path: Path, name: str, engines: dict[str, int], notes: Any) -> None:
    scenario = a_scenario(tmp_path, name)
    lines = places(scenario)
    for start, line in notes.items():
        assert [lines[text] for text in lines if text.startswith(start)] == [line], start
    lines_of_run = simulate(scenario).lines
    workloads = {line.object: line.workload for line in lines_of_run if isinstance(line, PodLine)}
    started = Counter(
        workloads[line.object] for line in lines_of_run if isinstance(line, EngineLine) and line.event == "started"
    )
    assert started == engines


def test_a_file_of_which_every_object_is_ignored_is_refused_with_each_object(tmp_path: Path) -> None:
    with pytest.raises(ScenarioErrors) as caught:
        a_scenario(tmp_path, "kserve")
    first, *others = (str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems)
    assert "nothing to run: every object of the manifests is ignored" in first
    assert [text.split(":")[:2] for text in others] == [["kserve.yaml", line] for line in ("2", "12", "20", "20")]
    assert "list the Deployments that KServe makes of it" in others[0]
