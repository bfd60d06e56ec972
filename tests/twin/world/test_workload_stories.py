"""Deployments, the scheduler and nodes over time."""

from collections.abc import Callable
from typing import Any

import pytest


def ready(obj: dict[str, Any]) -> dict[str, Any]:
    return next((each for each in obj.get("status", {}).get("conditions", ()) if each["type"] == "Ready"), {})


def is_terminating(pod: dict[str, Any]) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def test_pods_are_named_and_labelled_after_their_replica_set(scene: Any) -> None:
    scene.deploy(2)
    scene.run(1)
    (replica_set,) = scene.store.list("replicasets.apps").items
    name, labels = replica_set["metadata"]["name"], replica_set["metadata"]["labels"]
    assert name == f"qwen-{labels['pod-template-hash']}"
    for pod in scene.pods():
        assert pod["metadata"]["name"].startswith(f"{name}-")
        assert pod["metadata"]["labels"] == {"app": "qwen", "pod-template-hash": labels["pod-template-hash"]}
        (owner,) = pod["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == (
            "ReplicaSet",
            replica_set["metadata"]["uid"],
            True,
        )


def test_pods_are_spread_over_the_least_allocated_nodes(scene: Any) -> None:
    scene.deploy(4)
    scene.run(1)
    nodes = sorted(pod["spec"]["nodeName"] for pod in scene.pods())
    assert nodes == ["node-0", "node-0", "node-1", "node-1"]


@pytest.mark.parametrize(
    ("rolling", "most", "least"),
    [({}, 5, 3), ({"maxSurge": 0, "maxUnavailable": 2}, 4, 2), ({"maxSurge": "100%"}, 8, 3)],
)
def test_a_rollout_keeps_to_its_bounds(scene: Any, rolling: dict[str, Any], most: int, least: int) -> None:
    scene.deploy(4, spec={"strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}})
    scene.run(100)
    old = set(scene.world.pods_of("default/qwen"))
    asked: list[int] = []
    serving: list[int] = []

    def look(_: Any) -> None:
        asked.append(sum(each["spec"]["replicas"] for each in scene.store.list("replicasets.apps").items))
        pods = [pod for pod in scene.pods() if not is_terminating(pod)]
        serving.append(sum(ready(pod).get("status") == "True" for pod in pods))

    scene.store.subscribe(look)
    scene.world.rollout("default/qwen")
    scene.run(600)
    assert (max(asked), min(serving)) == (most, least)
    assert not old & set(scene.world.running_pods())
    assert len(scene.world.running_pods()) == 4
    status = scene.store.get("deployments.apps", "default", "qwen")["status"]
    assert (status["updatedReplicas"], status["availableReplicas"], status["replicas"]) == (4, 4, 4)


def test_recreate_has_no_two_generations_at_once(scene: Any) -> None:
    scene.deploy(3, spec={"strategy": {"type": "Recreate"}})
    scene.run(100)
    generations: list[int] = []

    def look(_: Any) -> None:
        generations.append(len({pod["metadata"]["labels"]["pod-template-hash"] for pod in scene.pods()}))

    scene.store.subscribe(look, "pods")
    scene.world.rollout("default/qwen")
    scene.run(300)
    assert max(generations) == 1
    assert len(scene.statuses) >= 6


def test_scaling_down_gives_up_the_pods_that_serve_nobody(scene: Any) -> None:
    scene.deploy(4)
    scene.run(100)
    victim = scene.world.running_pods()[2]
    scene.world.force_unready(victim, True)
    scene.store.patch("deployments.apps", "default", "qwen", {"spec": {"replicas": 3}})
    scene.run(110)
    assert victim not in scene.world.running_pods()
    assert len(scene.world.running_pods()) == 3


def test_what_does_not_fit_says_so_and_is_placed_when_a_pod_goes(scene_of: Callable[..., Any]) -> None:
    scene = scene_of(nodes=2, gpus=1)
    scene.deploy(3)
    scene.run(60)
    (waiting,) = [pod for pod in scene.pods() if not pod["spec"].get("nodeName")]
    (verdict,) = waiting["status"]["conditions"]
    assert (verdict["type"], verdict["status"], verdict["reason"]) == ("PodScheduled", "False", "Unschedulable")
    assert verdict["message"] == "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
    scene.store.patch("deployments.apps", "default", "qwen", {"spec": {"replicas": 2}})
    scene.run(70)
    assert not [pod for pod in scene.pods() if not pod["spec"].get("nodeName")]
    scene.store.patch("deployments.apps", "default", "qwen", {"spec": {"replicas": 3}})
    scene.run(80)
    scene.world.kill_pod(next(pod for pod in scene.world.running_pods() if scene.world.host_of(pod)))
    scene.run(90)
    assert len([pod for pod in scene.pods() if pod["spec"].get("nodeName")]) == 2


def test_node_selectors_and_taints_are_heeded(scene: Any) -> None:
    scene.store.patch("nodes", "", "node-1", {"spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}]}})
    scene.deploy(1, pod={"nodeSelector": {"topology.kubernetes.io/zone": "b"}})
    scene.run(10)
    assert scene.pod()["status"]["conditions"][0]["message"] == (
        "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, "
        "1 node(s) had untolerated taint {gpu: }."
    )
    scene.store.patch("nodes", "", "node-1", {"spec": {"taints": []}})
    scene.run(20)
    assert scene.pod()["spec"]["nodeName"] == "node-1"


def test_a_node_that_goes_dark_is_noticed_late_and_its_pods_are_replaced_later_still(scene: Any) -> None:
    scene.deploy(2)
    scene.run(100)
    (lost,) = [pod for pod in scene.pods() if pod["spec"]["nodeName"] == "node-0"]
    key = f"default/{lost['metadata']['name']}"
    host = scene.world.host_of(key)
    scene.world.node_down("node-0")
    assert not host.reachable
    assert host.engine is None
    scene.run(139)
    assert ready(scene.store.get("nodes", "", "node-0"))["status"] == "True"
    assert ready(scene.store.get("pods", "default", lost["metadata"]["name"]))["status"] == "True"
    scene.run(141)
    assert ready(scene.store.get("nodes", "", "node-0"))["status"] == "Unknown"
    assert ready(scene.store.get("pods", "default", lost["metadata"]["name"]))["reason"] == "NodeNotReady"
    scene.run(439)
    assert len(scene.world.running_pods()) == 2
    scene.run(442)
    assert is_terminating(scene.store.get("pods", "default", lost["metadata"]["name"]))
    assert len(scene.world.running_pods()) == 2, "a replacement is made at once"
    scene.run(600)
    assert key in scene.world.pods_of("default/qwen"), "it stays terminating: its kubelet is dead"
    assert {scene.store.get(*("pods", *pod.split("/")))["spec"]["nodeName"] for pod in scene.world.running_pods()} == {
        "node-1"
    }
    scene.world.node_up("node-0")
    scene.run(610)
    assert key not in scene.world.pods_of("default/qwen")
    assert ready(scene.store.get("nodes", "", "node-0"))["status"] == "True"
    assert not scene.store.get("nodes", "", "node-0")["spec"].get("taints")


def test_a_pod_survives_a_short_outage_in_a_new_sandbox(scene: Any) -> None:
    scene.deploy(1)
    scene.run(100)
    host, name = scene.host(), scene.name()
    before = (host.ip, host.container_id)
    node = scene.pod()["spec"]["nodeName"]
    scene.world.node_down(node)
    scene.run(120)
    scene.world.node_up(node)
    scene.run(300)
    assert scene.name() == name
    assert host.ip != before[0]
    assert host.container_id != before[1]
    assert before[0] not in scene.world.hosts
    assert scene.pod()["status"]["podIP"] == host.ip
    assert scene.pod()["status"]["containerStatuses"][0]["restartCount"] == 1
    assert ready(scene.pod())["status"] == "True"
    assert len(scene.pods()) == 1


def test_an_old_outage_evicts_nobody_in_a_new_one(scene: Any) -> None:
    scene.deploy(1)
    scene.run(100)
    name, node = scene.name(), scene.pod()["spec"]["nodeName"]
    scene.world.node_down(node)
    scene.run(200)
    scene.world.node_up(node)
    scene.run(300)
    scene.world.node_down(node)
    scene.run(600)  # the first outage's toleration ran out at 440, the second's does at 640
    assert name in scene.world.running_pods()
    scene.run(641)
    assert name not in scene.world.running_pods()


def test_names_and_latencies_of_one_workload_do_not_depend_on_another(scene_of: Callable[..., Any]) -> None:
    alone, crowded = scene_of(), scene_of()
    bare = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "other", "namespace": "default"},
        "spec": {"containers": [{"name": "vllm", "image": "vllm/vllm-openai:v0.27.0"}]},
    }
    crowded.store.create("pods", bare, namespace="default")
    for scene in (alone, crowded):
        scene.deploy(2)
        scene.run(60)
    assert set(alone.world.running_pods()) == set(crowded.world.running_pods()) - {"default/other"}


def test_faults_on_things_that_are_not_there_say_what_there_is(scene: Any) -> None:
    with pytest.raises(ValueError, match="node node-7 not found; nodes: node-0, node-1"):
        scene.world.node_down("node-7")
    with pytest.raises(ValueError, match="node node-0 is not down"):
        scene.world.node_up("node-0")
    with pytest.raises(ValueError, match="pod default/x is not on a node"):
        scene.world.restart_engine("default/x")
