"""The operator's own metrics agree with the twin's measures, which are taken in the world."""

from typing import Any

import pytest
from prometheus_client.metrics_core import Metric

from tests.twin import synthetic
from tests.twin.worlds import a_scenario
from twin.evaluate import invariants
from twin.evaluate.measures import summarise
from twin.kernel.loop import run
from twin.sim.simulation import Simulation

TROUBLE: dict[str, Any] = {
    "faults": [
        {"kind": "connection-refused", "pods": {"count": 1}, "probability": 0.7, "from": "1s", "until": "3m"},
        {"kind": "api-conflict", "probability": 0.1, "from": "1s", "until": "3m"},
    ]
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[Metric]]:
    """Return the summary of a run with faults, and the metrics page of its replica at the end."""
    simulation = Simulation(a_scenario(tmp_path_factory.mktemp("world"), **TROUBLE))
    scraped: list[Metric] = []
    asleep = simulation._until_end

    async def until_end(progress: Any) -> None:
        await asleep(progress)
        scraped.extend(simulation.replicas[0].metrics.registry.collect())

    simulation._until_end = until_end
    run(simulation.main(None), simulation.env)
    simulation.recorder.close()
    lines = simulation.recorder.lines
    return summarise(lines, invariants.check(lines)), scraped


def value(scraped: list[Metric], sample_name: str, **labels: str) -> float:
    """Return the sum of all samples of that name with those labels."""
    return sum(
        sample.value
        for metric in scraped
        for sample in metric.samples
        if sample.name == sample_name and labels.items() <= sample.labels.items()
    )


def test_loads_by_outcome(measured: tuple[dict[str, Any], list[Metric]]) -> None:
    summary, scraped = measured
    assert summary["loads"]["failed_retriable"] > 0
    for outcome in ("succeeded", "failed_retriable", "failed_final"):
        assert value(scraped, "lora_controller_loads_total", outcome=outcome) == summary["loads"][outcome]


def test_engine_requests(measured: tuple[dict[str, Any], list[Metric]]) -> None:
    summary, scraped = measured
    for verb in ("list", "load", "unload", "metrics"):
        assert value(scraped, "lora_controller_engine_requests_total", verb=verb) == summary["engine_requests"][verb]
    assert value(scraped, "lora_controller_engine_requests_total", verb="load", code="ConnectError") > 0


def test_requests_to_the_api_server(measured: tuple[dict[str, Any], list[Metric]]) -> None:
    summary, scraped = measured
    requests_sent = summary["api_requests"]
    assert value(scraped, "rest_client_requests_total", method="PATCH") == requests_sent["patch"]
    assert value(scraped, "rest_client_requests_total", method="POST") == requests_sent["create"]
    assert value(scraped, "rest_client_requests_total", code="409") == requests_sent["conflicts"] > 0


def test_adapters_and_replicas(measured: tuple[dict[str, Any], list[Metric]]) -> None:
    summary, scraped = measured
    assert value(scraped, "lora_controller_adapters", phase="Running") == summary["adapters"]["running"] == 4
    assert value(scraped, "lora_controller_replicas_wanted") == value(scraped, "lora_controller_replicas_ready") == 8
    assert value(scraped, "lora_controller_adapter_replicas_ready") == 8


def test_time_to_running_within_the_second_that_kubernetes_keeps(
    measured: tuple[dict[str, Any], list[Metric]],
) -> None:
    summary, scraped = measured
    count = value(scraped, "lora_controller_time_to_running_seconds_count")
    mean = value(scraped, "lora_controller_time_to_running_seconds_sum") / count
    assert count == 4
    assert 0 <= mean - summary["time_to_running_seconds"]["mean"] <= 1


def test_reconciles_are_measured_by_the_operator_alone(
    measured: tuple[dict[str, Any], list[Metric]],
) -> None:
    summary, scraped = measured
    assert value(scraped, "controller_runtime_reconcile_total") == summary["reconciles"]["total"] > 0
    assert value(scraped, "workqueue_work_duration_seconds_count") == summary["reconciles"]["total"]
    assert value(scraped, "controller_runtime_reconcile_errors_total") > 0
    assert 0 < summary["reconciles"]["with_actions"] < summary["reconciles"]["total"]


def test_reconciles_of_an_external_operator_are_not_measured() -> None:
    lines = synthetic.a_run()
    assert summarise(lines, invariants.check(lines))["reconciles"] == {"total": None, "with_actions": None}


def test_the_leader_metric_agrees(measured: tuple[dict[str, Any], list[Metric]]) -> None:
    _, scraped = measured
    assert value(scraped, "leader_election_master_status", name="lora-controller") == 1
    assert value(scraped, "controller_runtime_max_concurrent_reconciles") == 16
