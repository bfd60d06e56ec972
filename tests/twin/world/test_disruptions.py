"""Drains and evictions under PodDisruptionBudgets."""

from typing import Any

import pytest

from twin.apiserver import ApiError
from twin.apiserver.storage.eviction import EvictionOptions, evict_pod

BUDGETS = "poddisruptionbudgets.policy"


def a_budget(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "llm"}, "spec": {"selector": {"matchLabels": {"app": "qwen"}}, **spec}}


def evict(cluster: Any, pod: dict[str, Any]) -> None:
    evict_pod(cluster.store, "default", pod["metadata"]["name"], cluster.now(), EvictionOptions())


def ready_pods(cluster: Any) -> int:
    conditions = [item for pod in cluster.pods() for item in pod["status"].get("conditions", ())]
    return sum(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


@pytest.mark.parametrize(
    ("spec", "desired", "allowed"),
    [
        ({"minAvailable": 3}, 3, 1),
        ({"minAvailable": "50%"}, 2, 2),
        ({"maxUnavailable": 1}, 3, 1),
        ({"maxUnavailable": "30%"}, 2, 2),
        ({"minAvailable": 4}, 4, 0),
    ],
)
def test_a_budget_allows_as_many_disruptions_as_it_says(
    cluster: Any, spec: dict[str, Any], desired: int, allowed: int
) -> None:
    cluster.store.create(BUDGETS, a_budget(**spec), namespace="default")
    cluster.deploy(4)
    cluster.run(100)
    status = cluster.store.get(BUDGETS, "default", "llm")["status"]
    assert (status["expectedPods"], status["currentHealthy"], status["desiredHealthy"]) == (4, 4, desired)
    assert status["disruptionsAllowed"] == allowed


@pytest.mark.parametrize("spec", [{"minAvailable": "half"}, {"maxUnavailable": -1}, {"maxUnavailable": "5.5%"}])
def test_a_budget_that_is_neither_a_number_nor_a_percentage_is_refused(cluster: Any, spec: dict[str, Any]) -> None:
    with pytest.raises(ApiError) as refused:
        cluster.store.create(BUDGETS, a_budget(**spec), namespace="default")
    assert refused.value.code == 422


def test_a_budget_without_a_spec_protects_nothing(cluster: Any) -> None:
    cluster.store.create(BUDGETS, {"metadata": {"name": "llm"}}, namespace="default")
    cluster.deploy(1)
    cluster.run(100)
    assert cluster.store.get(BUDGETS, "default", "llm")["status"]["desiredHealthy"] == 0


def test_an_eviction_beyond_the_budget_is_refused_with_the_servers_text(cluster: Any) -> None:
    cluster.store.create(BUDGETS, a_budget(minAvailable=1), namespace="default")
    cluster.deploy(2)
    cluster.run(100)
    first, second = cluster.pods()
    evict(cluster, first)
    with pytest.raises(ApiError) as refused:
        evict(cluster, second)
    error = refused.value
    assert (error.code, error.reason) == (429, "TooManyRequests")
    assert error.message == "Cannot evict pod as it would violate the pod's disruption budget."
    cluster.run(101)
    with pytest.raises(ApiError) as refused:
        evict(cluster, second)
    (cause,) = refused.value.details["causes"]
    assert cause == {
        "reason": "DisruptionBudget",
        "message": "The disruption budget llm needs 1 healthy pods and has 1 currently",
    }


def test_a_drain_evicts_no_faster_than_the_budget_allows(cluster: Any) -> None:
    cluster.store.create(BUDGETS, a_budget(minAvailable=3), namespace="default")
    cluster.deploy(4)
    cluster.run(100)
    least: list[int] = []
    cluster.store.subscribe(lambda _: least.append(ready_pods(cluster)), "pods")
    cluster.world.drain("node-0")
    cluster.run(400)
    assert {pod["spec"]["nodeName"] for pod in cluster.pods()} == {"node-1"}
    assert min(least) == 3


def test_a_drain_that_a_budget_blocks_is_tried_again_until_the_node_is_uncordoned(cluster: Any) -> None:
    cluster.store.create(BUDGETS, a_budget(maxUnavailable=0), namespace="default")
    cluster.deploy(2)
    cluster.run(100)
    before = [pod["metadata"]["name"] for pod in cluster.pods()]
    cluster.world.drain("node-0")
    cluster.run(200)
    cluster.world.uncordon("node-0")
    cluster.store.delete(BUDGETS, "default", "llm")
    cluster.run(300)
    assert [pod["metadata"]["name"] for pod in cluster.pods()] == before


def test_pods_of_a_deleted_node_are_collected_and_replaced_elsewhere(cluster: Any) -> None:
    cluster.deploy(2)
    cluster.run(100)
    (lost,) = [pod["metadata"]["name"] for pod in cluster.pods() if pod["spec"]["nodeName"] == "node-0"]
    cluster.store.delete("nodes", "", "node-0")
    cluster.run(150)
    assert lost in [pod["metadata"]["name"] for pod in cluster.pods()], "pod garbage collection waits"
    cluster.run(250)
    assert {pod["spec"]["nodeName"] for pod in cluster.pods()} == {"node-1"}
    assert ready_pods(cluster) == 2
    with pytest.raises(ValueError, match="node-0 not found"):
        cluster.world.drain("node-0")
