"""Deployments, the scheduler and nodes over time."""

from collections.abc import Callable
from typing import Any

import pytest


def ready(obj: dict[str, Any]) -> dict[str, Any]:
    return next((item for item in obj.get("status", {}).get("conditions", ()) if item["type"] == "Ready"), {})


def is_terminating(pod: dict[str, Any]) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def test_pods_are_named_and_labelled_after_their_replica_set(cluster: Any) -> None:
    cluster.deploy(2)
    cluster.run(1)
    (replica_set,) = cluster.store.list("replicasets.apps").items
    name, labels = replica_set["metadata"]["name"], replica_set["metadata"]["labels"]
    assert name == f"qwen-{labels['pod-template-hash']}"
    for pod in cluster.pods():
        assert pod["metadata"]["name"].startswith(f"{name}-")
        assert pod["metadata"]["labels"] == {"app": "qwen", "pod-template-hash": labels["pod-template-hash"]}
        (owner,) = pod["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == (
            "ReplicaSet",
            replica_set["metadata"]["uid"],
            True,
        )


def test_pods_are_spread_over_the_least_allocated_nodes(cluster: Any) -> None:
    cluster.deploy(4)
    cluster.run(1)
    nodes = sorted(pod["spec"]["nodeName"] for pod in cluster.pods())
    assert nodes == ["node-0", "node-0", "node-1", "node-1"]


@pytest.mark.parametrize(
    ("rolling", "most", "least"),
    [({}, 5, 3), ({"maxSurge": 0, "maxUnavailable": 2}, 4, 2), ({"maxSurge": "100%"}, 8, 3)],
)
def test_a_rollout_keeps_to_its_bounds(cluster: Any, rolling: dict[str, Any], most: int, least: int) -> None:
    cluster.deploy(4, spec={"strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}})
    cluster.run(100)
    old = set(cluster.world.pods_of("default/qwen"))
    requested_gpus: list[int] = []
    serving: list[int] = []

    def look(_: Any) -> None:
        requested_gpus.append(sum(item["spec"]["replicas"] for item in cluster.store.list("replicasets.apps").items))
        pods = [pod for pod in cluster.pods() if not is_terminating(pod)]
        serving.append(sum(ready(pod).get("status") == "True" for pod in pods))

    cluster.store.subscribe(look)
    cluster.world.rollout("default/qwen")
    cluster.run(600)
    assert (max(requested_gpus), min(serving)) == (most, least)
    assert not old & set(cluster.world.running_pods())
    assert len(cluster.world.running_pods()) == 4
    status = cluster.store.get("deployments.apps", "default", "qwen")["status"]
    assert (status["updatedReplicas"], status["availableReplicas"], status["replicas"]) == (4, 4, 4)


def test_recreate_has_no_two_generations_at_once(cluster: Any) -> None:
    cluster.deploy(3, spec={"strategy": {"type": "Recreate"}})
    cluster.run(100)
    generations: list[int] = []

    def look(_: Any) -> None:
        generations.append(len({pod["metadata"]["labels"]["pod-template-hash"] for pod in cluster.pods()}))

    cluster.store.subscribe(look, "pods")
    cluster.world.rollout("default/qwen")
    cluster.run(300)
    assert max(generations) == 1
    assert len(cluster.statuses) >= 6


def test_scaling_down_deletes_unready_pods_first(cluster: Any) -> None:
    cluster.deploy(4)
    cluster.run(100)
    victim = cluster.world.running_pods()[2]
    cluster.world.force_unready(victim, True)
    cluster.store.patch("deployments.apps", "default", "qwen", {"spec": {"replicas": 3}})
    cluster.run(110)
    assert victim not in cluster.world.running_pods()
    assert len(cluster.world.running_pods()) == 3


def test_a_pod_that_does_not_fit_has_an_event_and_is_placed_when_a_pod_is_deleted(
    cluster_of: Callable[..., Any],
) -> None:
    cluster = cluster_of(nodes=2, gpus=1)
    cluster.deploy(3)
    cluster.run(60)
    (waiting,) = [pod for pod in cluster.pods() if not pod["spec"].get("nodeName")]
    (verdict,) = waiting["status"]["conditions"]
    assert (verdict["type"], verdict["status"], verdict["reason"]) == ("PodScheduled", "False", "Unschedulable")
    assert verdict["message"] == "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
    cluster.store.patch("deployments.apps", "default", "qwen", {"spec": {"replicas": 2}})
    cluster.run(70)
    assert not [pod for pod in cluster.pods() if not pod["spec"].get("nodeName")]
    cluster.store.patch("deployments.apps", "default", "qwen", {"spec": {"replicas": 3}})
    cluster.run(80)
    cluster.world.kill_pod(next(pod for pod in cluster.world.running_pods() if cluster.world.host_of(pod)))
    cluster.run(90)
    assert len([pod for pod in cluster.pods() if pod["spec"].get("nodeName")]) == 2


def test_node_selectors_and_taints_are_heeded(cluster: Any) -> None:
    cluster.store.patch("nodes", "", "node-1", {"spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}]}})
    cluster.deploy(1, pod={"nodeSelector": {"topology.kubernetes.io/zone": "b"}})
    cluster.run(10)
    assert cluster.pod()["status"]["conditions"][0]["message"] == (
        "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, "
        "1 node(s) had untolerated taint {gpu: }."
    )
    cluster.store.patch("nodes", "", "node-1", {"spec": {"taints": []}})
    cluster.run(20)
    assert cluster.pod()["spec"]["nodeName"] == "node-1"


def test_a_node_that_goes_dark_is_noticed_late_and_its_pods_are_replaced_later_still(cluster: Any) -> None:
    cluster.deploy(2)
    cluster.run(100)
    (lost,) = [pod for pod in cluster.pods() if pod["spec"]["nodeName"] == "node-0"]
    key = f"default/{lost['metadata']['name']}"
    host = cluster.world.host_of(key)
    cluster.world.node_down("node-0")
    assert not host.reachable
    assert host.engine is None
    cluster.run(149)
    assert ready(cluster.store.get("nodes", "", "node-0"))["status"] == "True"
    assert ready(cluster.store.get("pods", "default", lost["metadata"]["name"]))["status"] == "True"
    cluster.run(151)
    assert ready(cluster.store.get("nodes", "", "node-0"))["status"] == "Unknown"
    assert ready(cluster.store.get("pods", "default", lost["metadata"]["name"]))["status"] == "False"
    cluster.run(449)
    assert len(cluster.world.running_pods()) == 2
    cluster.run(452)
    assert is_terminating(cluster.store.get("pods", "default", lost["metadata"]["name"]))
    assert len(cluster.world.running_pods()) == 2, "a replacement is made at once"
    cluster.run(600)
    assert key in cluster.world.pods_of("default/qwen"), "it stays terminating: its kubelet is dead"
    assert {
        cluster.store.get(*("pods", *pod.split("/")))["spec"]["nodeName"] for pod in cluster.world.running_pods()
    } == {"node-1"}
    cluster.world.node_up("node-0")
    cluster.run(610)
    assert key not in cluster.world.pods_of("default/qwen")
    assert ready(cluster.store.get("nodes", "", "node-0"))["status"] == "True"
    assert not cluster.store.get("nodes", "", "node-0")["spec"].get("taints")


def test_a_lost_node_serves_on_and_its_deleted_pods_end_when_it_is_found(cluster: Any) -> None:
    cluster.deploy(1)
    cluster.run(100)
    name, node, host = cluster.name(), cluster.pod()["spec"]["nodeName"], cluster.host()
    cluster.world.node_lost(node)
    cluster.run(151)
    assert ready(cluster.store.get("nodes", "", node))["status"] == "Unknown"
    assert ready(cluster.pod())["status"] == "False"
    assert (host.reachable, host.listening) == (True, True)
    cluster.run(600)
    assert is_terminating(cluster.store.get("pods", *name.split("/")))
    assert (host.reachable, host.listening) == (True, True), "it does not learn that it was deleted"
    cluster.world.node_found(node)
    cluster.run(620)
    assert name not in cluster.world.pods_of("default/qwen")
    assert host.engine is None
    assert not cluster.store.get("nodes", "", node)["spec"].get("taints")


def test_a_lost_pod_that_is_deleted_by_force_serves_on_without_an_object(cluster: Any) -> None:
    cluster.deploy(1)
    cluster.run(100)
    name, node, host = cluster.name(), cluster.pod()["spec"]["nodeName"], cluster.host()
    cluster.world.node_lost(node)
    cluster.world.kill_pod(name)
    cluster.run(300)
    assert name not in cluster.world.pods_of("default/qwen")
    assert cluster.world.hosts[host.ip] is host
    assert host.listening
    cluster.world.node_found(node)
    assert host.engine is None
    assert host.ip not in cluster.world.hosts


def test_a_lost_node_that_is_found_in_time_reports_its_pods_ready(cluster: Any) -> None:
    cluster.deploy(1)
    cluster.run(100)
    name, node = cluster.name(), cluster.pod()["spec"]["nodeName"]
    cluster.world.node_lost(node)
    cluster.run(200)
    assert ready(cluster.pod())["status"] == "False"
    cluster.world.node_found(node)
    cluster.run(210)
    assert (cluster.name(), ready(cluster.pod())["status"]) == (name, "True")


def test_a_node_that_is_not_ready_keeps_its_pods_ready_until_their_toleration_ends(cluster: Any) -> None:
    cluster.deploy(1)
    cluster.run(100)
    name, node = cluster.name(), cluster.pod()["spec"]["nodeName"]
    cluster.world.node_not_ready(node)
    cluster.run(106)
    taints = [(taint["key"], taint["effect"]) for taint in cluster.store.get("nodes", "", node)["spec"]["taints"]]
    not_ready = "node.kubernetes.io/not-ready"
    assert taints == [(not_ready, "NoSchedule"), (not_ready, "NoExecute")]
    assert ready(cluster.pod())["status"] == "True"
    cluster.run(440)
    assert name not in cluster.world.pods_of("default/qwen"), "its kubelet has ended it"
    with pytest.raises(ValueError, match=f"node {node} is already not ready"):
        cluster.world.node_down(node)
    cluster.world.node_ready(node)
    cluster.run(450)
    assert not cluster.store.get("nodes", "", node)["spec"].get("taints")


def test_no_pod_is_evicted_while_no_node_is_ready(cluster: Any) -> None:
    cluster.deploy(2)
    cluster.run(100)
    names = cluster.world.running_pods()
    for node in ("node-0", "node-1"):
        cluster.world.node_lost(node)
    cluster.run(900)
    assert cluster.world.running_pods() == names
    cluster.world.node_found("node-0")
    cluster.run(1300)
    assert len(set(names) & set(cluster.world.running_pods())) == 1, "one node is ready again: the other's pod goes"


def test_a_pod_survives_a_short_outage_in_a_new_sandbox(cluster: Any) -> None:
    cluster.deploy(1)
    cluster.run(100)
    host, name = cluster.host(), cluster.name()
    before = (host.ip, host.container_id)
    node = cluster.pod()["spec"]["nodeName"]
    cluster.world.node_down(node)
    cluster.run(120)
    cluster.world.node_up(node)
    cluster.run(300)
    assert cluster.name() == name
    assert host.ip != before[0]
    assert host.container_id != before[1]
    assert before[0] not in cluster.world.hosts
    assert cluster.pod()["status"]["podIP"] == host.ip
    assert cluster.pod()["status"]["containerStatuses"][0]["restartCount"] == 1
    assert ready(cluster.pod())["status"] == "True"
    assert len(cluster.pods()) == 1


def test_an_earlier_outage_evicts_no_pod_in_a_later_one(cluster: Any) -> None:
    cluster.deploy(1)
    cluster.run(100)
    name, node = cluster.name(), cluster.pod()["spec"]["nodeName"]
    cluster.world.node_down(node)
    cluster.run(200)
    cluster.world.node_up(node)
    cluster.run(300)
    cluster.world.node_down(node)
    cluster.run(600)  # the first outage's toleration ran out at 450, the second's does at 650
    assert name in cluster.world.running_pods()
    cluster.run(656)
    assert name not in cluster.world.running_pods()


def test_names_and_latencies_of_one_workload_do_not_depend_on_another(cluster_of: Callable[..., Any]) -> None:
    alone, crowded = cluster_of(), cluster_of()
    bare = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "other", "namespace": "default"},
        "spec": {"containers": [{"name": "vllm", "image": "vllm/vllm-openai:v0.27.0"}]},
    }
    crowded.store.create("pods", bare, namespace="default")
    for cluster in (alone, crowded):
        cluster.deploy(2)
        cluster.run(60)
    assert set(alone.world.running_pods()) == set(crowded.world.running_pods()) - {"default/other"}


def test_faults_on_missing_objects_list_the_existing_ones(cluster: Any) -> None:
    with pytest.raises(ValueError, match="node node-7 not found; nodes: node-0, node-1"):
        cluster.world.node_down("node-7")
    with pytest.raises(ValueError, match="node node-0 is not down"):
        cluster.world.node_up("node-0")
    with pytest.raises(ValueError, match="pod default/x is not on a node"):
        cluster.world.restart_engine("default/x")
