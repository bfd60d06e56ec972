"""Autoscalers in a simulated cluster: what they read of its engines, and adapters as targets."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.twin.worlds import a_scenario
from tests.twin.worlds import deployment as a_deployment
from twin.kernel.loop import run
from twin.scenario import Scenario
from twin.scenario.manifests.autoscaler_notes import ENGINE_GAUGES
from twin.sim.simulation import Simulation

API_VERSIONS = {"Deployment": "apps/v1", "ModelAdapter": "model.aibrix.ai/v1alpha1"}


def autoscaler(kind: str, name: str, metric: str = "vllm:num_requests_running") -> dict[str, Any]:
    source = {"metric": {"name": metric}, "target": {"type": "AverageValue", "averageValue": "2"}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": API_VERSIONS[kind], "kind": kind, "name": name},
            "minReplicas": 1,
            "maxReplicas": 4,
            "metrics": [{"type": "Pods", "pods": source}],
        },
    }


def simulated(scenario: Scenario) -> Simulation:
    simulation = Simulation(scenario)
    run(simulation.main(None), simulation.env)
    return simulation


def conditions(simulation: Simulation, name: str) -> dict[str, str]:
    found = simulation.store.get("horizontalpodautoscalers.autoscaling", "default", name)
    return {item["type"]: f"{item['status']} {item['reason']}" for item in found["status"]["conditions"]}


def name_of(deployment: dict[str, Any]) -> str:
    return str(deployment["metadata"]["name"])


@pytest.mark.parametrize("metric", ["vllm:num_requests_running", "vllm_num_requests_running"])
def test_engines_are_added_by_their_running_requests(metric: str, tmp_path: Path) -> None:
    engines = a_deployment(1)
    objects = [engines, autoscaler("Deployment", name_of(engines), metric)]
    traffic = {"rate": "10/s", "from": "20s", "output_tokens": 300}
    simulation = simulated(a_scenario(tmp_path, objects=objects, traffic=traffic, duration="2m"))
    assert conditions(simulation, name_of(engines))["ScalingActive"] == "True ValidMetricFound"
    assert simulation.store.get("deployments.apps", "default", name_of(engines))["spec"]["replicas"] == 4


def test_a_metric_that_engines_do_not_have_changes_nothing(tmp_path: Path) -> None:
    engines = a_deployment(2)
    objects = [engines, autoscaler("Deployment", name_of(engines), "vllm:queue")]
    scenario = a_scenario(tmp_path, objects=objects, duration="1m")
    (note,) = [str(item) for item in scenario.notes if "vllm:queue" in str(item)]
    assert "cannot read vllm:queue" in note
    simulation = simulated(scenario)
    assert conditions(simulation, name_of(engines))["ScalingActive"] == "False FailedGetPodsMetric"
    assert simulation.store.get("deployments.apps", "default", name_of(engines))["spec"]["replicas"] == 2


def test_adapters_of_the_same_pods_cannot_both_be_autoscaled(tmp_path: Path) -> None:
    engines = a_deployment(3)
    adapters = [
        {
            "apiVersion": API_VERSIONS["ModelAdapter"],
            "kind": "ModelAdapter",
            "metadata": {"name": name},
            "spec": {
                "podSelector": engines["spec"]["selector"],
                "artifactURL": f"huggingface://acme/{name}",
                "replicas": 2,
            },
        }
        for name in ("sql", "chat")
    ]
    alone = [engines, adapters[0], autoscaler("ModelAdapter", "sql")]
    scenario = a_scenario(tmp_path, objects=alone, adapters=[], duration="1m")
    assert not [item for item in scenario.notes if "HorizontalPodAutoscaler" in str(item)]
    assert conditions(simulated(scenario), "sql")["ScalingActive"] == "True ValidMetricFound"
    both = [engines, *adapters, *(autoscaler("ModelAdapter", name) for name in ("sql", "chat"))]
    scenario = a_scenario(tmp_path, objects=both, adapters=[], duration="1m")
    assert [item for item in scenario.notes if "AmbiguousSelector" in str(item)]
    simulation = simulated(scenario)
    assert conditions(simulation, "sql")["ScalingActive"] == "False AmbiguousSelector"
    assert conditions(simulation, "chat")["ScalingActive"] == "False AmbiguousSelector"


def test_the_gauges_that_notes_know_are_gauges_of_engines(tmp_path: Path) -> None:
    simulation = simulated(a_scenario(tmp_path, adapters=[], duration="10s"))
    (engine, *_) = [host.engine for host in simulation.world.hosts.values() if host.engine is not None]

    async def gauges() -> set[str]:
        return {family.name for family in engine.runner.metric_families(0.0, 0.0) if family.kind == "gauge"}

    known = {f"vllm:{name}" for name in ENGINE_GAUGES["vllm"]} - {"vllm:gpu_cache_usage_perc"}
    assert known <= asyncio.run(gauges())
