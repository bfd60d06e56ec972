"""Preemption by priority: which pods go, and that the one they go for gets their place."""

from typing import Any

import pytest

from tests.twin.world.conftest import SimulatedCluster, a_deployment
from twin.apiserver.meta.objects import condition
from twin.world.scheduling.preemption import BoundPod, Victims, best, victims_on

CLASSES = "priorityclasses.scheduling.k8s.io"


def bound(name: str, priority: int = 0, gpus: int = 1, started: str = "2026-01-01T00:00:00Z") -> BoundPod:
    return BoundPod(name, priority, gpus, started)


A, B, HIGH = bound("a", 1), bound("b", 5), bound("c", 100)


@pytest.mark.parametrize(
    ("missing", "pods", "expected"),
    [
        (1, [A, B, HIGH], ["a"]),
        (2, [A, B, HIGH], ["b", "a"]),
        (3, [A, B, HIGH], None),
        (1, [HIGH], None),
        (1, [bound("old"), bound("young", started="2026-01-01T01:00:00Z")], ["young"]),
        (4, [bound("small"), bound("big", gpus=4)], ["big"]),
    ],
)
def test_the_least_important_pods_that_free_enough_go(
    missing: int, pods: list[BoundPod], expected: list[str] | None
) -> None:
    victims = victims_on("n", missing, 50, pods)
    assert (None if victims is None else [pod.name for pod in victims.pods]) == expected


@pytest.mark.parametrize(
    ("candidates", "node"),
    [
        ([Victims("n1", [B]), Victims("n2", [A])], "n2"),
        ([Victims("n1", [A, A]), Victims("n2", [A])], "n2"),
        ([Victims("n2", [A]), Victims("n1", [A])], "n1"),
        ([Victims("n1", [A]), Victims("n2", [bound("y", 1, started="2026-01-02T00:00:00Z")])], "n2"),
    ],
)
def test_the_node_with_the_least_important_and_fewest_victims_is_taken(candidates: list[Victims], node: str) -> None:
    chosen = best(candidates)
    assert chosen is not None
    assert chosen.node == node


def an_urgent_pod(**spec: Any) -> dict[str, Any]:
    template = a_deployment(gpus=2)["spec"]["template"]
    spec = {**template["spec"], "priorityClassName": "urgent", **spec}
    return {"metadata": {"name": "urgent", "namespace": "default"}, "spec": spec}


@pytest.fixture
def full() -> SimulatedCluster:
    """Return a cluster whose four GPUs are taken, with a PriorityClass `urgent`."""
    cluster = SimulatedCluster(nodes=1, startup=5.0)
    cluster.store.create(CLASSES, {"metadata": {"name": "urgent"}, "value": 1000})
    cluster.deploy(4)
    cluster.run(60)
    return cluster


def test_a_pod_of_higher_priority_gets_the_place_of_others(full: SimulatedCluster) -> None:
    full.store.create("pods", an_urgent_pod())
    full.run(60.2)
    leaving = [pod for pod in full.pods() if "deletionTimestamp" in pod["metadata"]]
    assert len(leaving) == 2
    assert (condition(leaving[0], "DisruptionTarget") or {})["reason"] == "PreemptionByScheduler"
    assert full.store.get("pods", "default", "urgent")["status"]["nominatedNodeName"] == "node-0"
    full.run(120)
    assert full.store.get("pods", "default", "urgent")["spec"]["nodeName"] == "node-0"
    waiting = [pod for pod in full.pods() if not pod["spec"].get("nodeName")]
    assert len(waiting) == 2, "the Deployment's new pods wait, though they were there when the GPUs became free"


def test_a_pod_whose_nominated_node_is_cordoned_preempts_elsewhere() -> None:
    cluster = SimulatedCluster(nodes=2, startup=5.0)
    cluster.store.create(CLASSES, {"metadata": {"name": "urgent"}, "value": 1000})
    cluster.deploy(8)
    cluster.run(60)
    cluster.store.create("pods", an_urgent_pod())
    cluster.run(60.2)
    first = cluster.store.get("pods", "default", "urgent")["status"]["nominatedNodeName"]
    cluster.store.patch("nodes", "", first, {"spec": {"unschedulable": True}})
    cluster.run(120)
    (other,) = {"node-0", "node-1"} - {first}
    assert cluster.store.get("pods", "default", "urgent")["spec"]["nodeName"] == other


def test_a_pod_whose_class_never_preempts_waits(full: SimulatedCluster) -> None:
    full.store.create(CLASSES, {"metadata": {"name": "calm"}, "value": 1000, "preemptionPolicy": "Never"})
    full.store.create("pods", an_urgent_pod(priorityClassName="calm"))
    full.run(120)
    assert not full.store.get("pods", "default", "urgent")["spec"].get("nodeName")


def test_a_pod_that_no_preemption_helps_deletes_nothing(full: SimulatedCluster) -> None:
    full.store.create("pods", an_urgent_pod(nodeSelector={"pool": "none"}))
    full.run(120)
    assert not [pod for pod in full.pods() if "deletionTimestamp" in pod["metadata"]]
