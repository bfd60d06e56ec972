"""Taints with `NoExecute` that a client puts on a node: who leaves, when, and who stays."""

from typing import Any

import pytest

from tests.twin.world.conftest import SimulatedCluster
from twin.apiserver.meta.objects import condition
from twin.world.nodes.taint_eviction import seconds_tolerated

GPU = {"key": "gpu", "value": "broken", "effect": "NoExecute"}
DISK = {"key": "disk", "effect": "NoExecute"}


def tolerates(key: str = "gpu", seconds: int | None = None) -> dict[str, Any]:
    toleration = {"key": key, "operator": "Exists", "effect": "NoExecute"}
    return toleration if seconds is None else {**toleration, "tolerationSeconds": seconds}


@pytest.mark.parametrize(
    ("taints", "tolerations", "seconds"),
    [
        ([GPU], [], 0),
        ([GPU], [tolerates()], None),
        ([GPU], [tolerates(seconds=6)], 6),
        ([GPU], [tolerates(seconds=-1)], 0),
        ([GPU, DISK], [tolerates(seconds=6)], 0),
        ([GPU, DISK], [tolerates(seconds=6), tolerates("disk", 3)], 3),
        ([GPU, DISK], [tolerates(), tolerates("disk", 3)], 3),
        ([GPU], [{"operator": "Exists"}], None),
    ],
)
def test_how_long_a_pod_tolerates_its_nodes_taints(taints: Any, tolerations: Any, seconds: float | None) -> None:
    assert seconds_tolerated({"spec": {"tolerations": tolerations}}, taints) == seconds


@pytest.fixture
def tainted() -> SimulatedCluster:
    """Return a cluster of one node, tainted after a minute, with a pod that tolerates that for 20 s."""
    cluster = SimulatedCluster(nodes=1, startup=5.0)
    cluster.deploy(1, pod={"tolerations": [tolerates(seconds=20)]})
    cluster.run(60)
    cluster.store.patch("nodes", "", "node-0", {"spec": {"taints": [GPU]}})
    return cluster


def leaving(cluster: SimulatedCluster) -> list[dict[str, Any]]:
    return [pod for pod in cluster.pods() if "deletionTimestamp" in pod["metadata"]]


def test_a_pod_leaves_when_its_toleration_ends(tainted: SimulatedCluster) -> None:
    tainted.run(79)
    assert not leaving(tainted)
    tainted.run(80.5)
    (pod,) = leaving(tainted)
    assert (condition(pod, "DisruptionTarget") or {})["reason"] == "DeletionByTaintManager"


def test_a_removed_taint_lets_it_stay(tainted: SimulatedCluster) -> None:
    tainted.run(70)
    tainted.store.patch("nodes", "", "node-0", {"spec": {"taints": []}})
    tainted.run(120)
    assert not leaving(tainted)


def test_a_pod_that_comes_later_is_measured_from_its_arrival(tainted: SimulatedCluster) -> None:
    tainted.run(70)
    tainted.store.delete("pods", "default", tainted.name().split("/")[1], grace_period=0)
    tainted.run(85)
    assert not leaving(tainted)
    tainted.run(91)
    assert leaving(tainted)
