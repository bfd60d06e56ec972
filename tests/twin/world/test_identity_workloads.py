"""StatefulSets, DaemonSets and Jobs over time."""

from collections.abc import Callable
from typing import Any

from tests.twin.world.conftest import a_deployment

CONTAINER = {"name": "dcgm", "image": "nvcr.io/dcgm-exporter:4"}


def a_stateful_set(replicas: int = 3, **spec: Any) -> dict[str, Any]:
    """Return a StatefulSet of engines; `spec` replaces fields of its spec."""
    template = a_deployment()["spec"]["template"]
    selector = {"matchLabels": {"app": "qwen"}}
    return {
        "metadata": {"name": "llm", "namespace": "default"},
        "spec": {"serviceName": "llm", "replicas": replicas, "selector": selector, "template": template, **spec},
    }


def a_daemon_set(**pod: Any) -> dict[str, Any]:
    """Return a DaemonSet that is no engine; `pod` are fields of its pods' spec."""
    template = {"metadata": {"labels": {"app": "dcgm"}}, "spec": {"containers": [CONTAINER], **pod}}
    return {"metadata": {"name": "dcgm"}, "spec": {"selector": {"matchLabels": {"app": "dcgm"}}, "template": template}}


def names(cluster: Any) -> list[str]:
    return [pod["metadata"]["name"] for pod in cluster.pods()]


def test_stateful_pods_start_one_after_the_other_and_keep_their_names(cluster: Any) -> None:
    cluster.store.create("statefulsets.apps", a_stateful_set())
    cluster.run(30)
    assert names(cluster) == ["llm-0"], "the second waits until the first is ready"
    cluster.run(200)
    assert names(cluster) == ["llm-0", "llm-1", "llm-2"]
    pod = cluster.store.get("pods", "default", "llm-1")
    labels = pod["metadata"]["labels"]
    revision = cluster.store.get("statefulsets.apps", "default", "llm")["status"]["currentRevision"]
    assert labels["statefulset.kubernetes.io/pod-name"] == "llm-1"
    assert (labels["apps.kubernetes.io/pod-index"], labels["controller-revision-hash"]) == ("1", revision)
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("llm-1", "llm")
    assert cluster.world.workload_of(pod) == "llm"


def test_a_deleted_stateful_pod_returns_under_its_name_with_another_uid_and_address(cluster: Any) -> None:
    cluster.store.create("statefulsets.apps", a_stateful_set(2))
    cluster.run(120)
    before = cluster.store.get("pods", "default", "llm-0")
    cluster.store.delete("pods", "default", "llm-0")
    cluster.run(200)
    after = cluster.store.get("pods", "default", "llm-0")
    assert before["metadata"]["uid"] != after["metadata"]["uid"]
    assert before["status"]["podIP"] != after["status"]["podIP"]


def test_an_update_replaces_stateful_pods_from_the_last_to_the_partition(cluster: Any) -> None:
    cluster.store.create("statefulsets.apps", a_stateful_set(updateStrategy={"rollingUpdate": {"partition": 1}}))
    cluster.run(200)
    deleted: list[str] = []
    cluster.store.subscribe(
        lambda change: deleted.append(change.object["metadata"]["name"]) if change.type == "DELETED" else None, "pods"
    )
    cluster.world.rollout("default/llm", "statefulsets.apps")
    cluster.run(500)
    assert deleted == ["llm-2", "llm-1"]
    status = cluster.store.get("statefulsets.apps", "default", "llm")["status"]
    assert (status["updatedReplicas"], status["currentReplicas"], status["readyReplicas"]) == (2, 1, 3)
    assert status["currentRevision"] != status["updateRevision"]


def test_a_restored_template_uses_its_old_revision_again(cluster: Any) -> None:
    cluster.store.create("statefulsets.apps", a_stateful_set(1))
    cluster.run(100)
    for number in (1, 2):
        body = {"spec": {"template": {"metadata": {"annotations": {"config": str(number)}}}}}
        cluster.store.patch("statefulsets.apps", "default", "llm", body)
        cluster.run(100 + 150 * number)
    body = {"spec": {"template": {"metadata": {"annotations": {"config": "1"}}}}}
    cluster.store.patch("statefulsets.apps", "default", "llm", body)
    cluster.run(600)
    revisions = cluster.store.list("controllerrevisions.apps").items
    assert sorted(item["revision"] for item in revisions) == [1, 3, 4]
    newest = max(revisions, key=lambda item: item["revision"])
    assert cluster.pod()["metadata"]["labels"]["controller-revision-hash"] == newest["metadata"]["name"]


def test_claims_are_created_for_each_pod_and_outlive_it(cluster: Any) -> None:
    claim = {"metadata": {"name": "cache"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    cluster.store.create("statefulsets.apps", a_stateful_set(2, volumeClaimTemplates=[claim]))
    cluster.run(100)
    cluster.store.patch("statefulsets.apps", "default", "llm", {"spec": {"replicas": 1}})
    cluster.run(200)
    assert names(cluster) == ["llm-0"]
    claims = [item["metadata"]["name"] for item in cluster.store.list("persistentvolumeclaims").items]
    assert claims == ["cache-llm-0", "cache-llm-1"]
    assert cluster.pod()["spec"]["volumes"] == [{"name": "cache", "persistentVolumeClaim": {"claimName": claims[0]}}]


def test_a_daemon_set_has_a_pod_on_every_node_that_it_tolerates(cluster_of: Callable[..., Any]) -> None:
    cluster = cluster_of(nodes=3)
    cluster.store.patch("nodes", "", "node-1", {"spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}]}})
    cluster.store.create("daemonsets.apps", a_daemon_set(), namespace="default")
    cluster.run(10)
    assert sorted(pod["spec"]["nodeName"] for pod in cluster.pods()) == ["node-0", "node-2"]
    status = cluster.store.get("daemonsets.apps", "default", "dcgm")["status"]
    assert (status["desiredNumberScheduled"], status["numberReady"]) == (2, 2), "a helper is ready without an engine"
    cluster.store.patch("nodes", "", "node-1", {"spec": {"taints": None}})
    cluster.run(20)
    assert len(cluster.pods()) == 3


def test_a_drain_leaves_the_pods_of_daemon_sets(cluster: Any) -> None:
    cluster.store.create("daemonsets.apps", a_daemon_set(), namespace="default")
    cluster.deploy(2)
    cluster.run(100)
    cluster.world.drain("node-0")
    cluster.run(200)
    on_node = [pod for pod in cluster.pods() if pod["spec"]["nodeName"] == "node-0"]
    assert [pod["metadata"]["labels"]["app"] for pod in on_node] == ["dcgm"]


def test_orphans_are_adopted_and_pods_with_other_labels_released(cluster: Any) -> None:
    cluster.store.create("daemonsets.apps", a_daemon_set(), namespace="default")
    cluster.run(10)
    pod = next(pod for pod in cluster.pods() if pod["spec"]["nodeName"] == "node-0")
    name = pod["metadata"]["name"]
    cluster.store.patch("pods", "default", name, {"metadata": {"labels": {"app": "debug"}}})
    cluster.run(20)
    assert "ownerReferences" not in cluster.store.get("pods", "default", name)["metadata"]
    assert len(cluster.pods()) == 3, "the node has a new pod"
    cluster.store.delete("daemonsets.apps", "default", "dcgm", propagation="Orphan")
    cluster.run(30)
    assert len(cluster.pods()) == 3
    cluster.store.create("daemonsets.apps", a_daemon_set(), namespace="default")
    cluster.run(40)
    assert len(cluster.pods()) == 3, "the two orphans are adopted"
