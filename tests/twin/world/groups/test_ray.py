"""RayClusters and RayServices of KubeRay: head and workers, their labels, and which of them serve.

Names and labels are those of ray-project/kuberay (`PodName`, `labelPod`), commands those of its `BuildPod`.
"""

from typing import Any

import pytest

from tests.twin.world.groups.conftest import deletions, names

CLUSTERS, SERVICES = "rayclusters.ray.io", "rayservices.ray.io"


def a_template(*command: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "ray", "image": "rayproject/ray-llm:2.54.0", "command": list(command)}
    return {"metadata": {}, "spec": {"containers": [container], **spec}}


def a_ray_cluster(head: dict[str, Any] | None = None, **group: Any) -> dict[str, Any]:
    """Return a RayCluster with two workers; `group` are fields of the worker group."""
    workers = {"groupName": "gpu", "replicas": 2, "template": a_template(), **group}
    spec = {"headGroupSpec": {"rayStartParams": {}, "template": head or a_template()}, "workerGroupSpecs": [workers]}
    return {"metadata": {"name": "llm", "namespace": "default"}, "spec": spec}


def test_a_cluster_has_one_head_and_the_workers_of_its_groups(groups: Any) -> None:
    groups.store.create(CLUSTERS, a_ray_cluster())
    groups.run(60)
    *workers, head = names(groups)
    assert head == "llm-head"
    assert len(workers) == 2
    assert all(name.startswith("llm-gpu-worker-") for name in workers)
    labels = groups.store.get("pods", "default", workers[0])["metadata"]["labels"]
    ray = {name.removeprefix("ray.io/"): value for name, value in labels.items() if name.startswith("ray.io/")}
    assert ray == {
        "is-ray-node": "yes",
        "cluster": "llm",
        "node-type": "worker",
        "group": "gpu",
        "identifier": "llm-worker",
    }
    status = groups.store.get(CLUSTERS, "default", "llm")["status"]
    assert (status["state"], status["readyWorkerReplicas"], status["desiredWorkerReplicas"]) == ("ready", 2, 2)
    assert groups.store.get("services", "default", "llm-head-svc")


def test_a_head_starts_ray_after_its_own_command_and_workers_wait_for_it(groups: Any) -> None:
    groups.store.create(CLUSTERS, a_ray_cluster(a_template("echo", "hello")))
    groups.run(2)
    head, worker = (groups.store.get("pods", "default", name) for name in ("llm-head", names(groups)[0]))
    assert head["spec"]["containers"][0]["args"][0].startswith("echo hello && ulimit -n 65536; ray start --head")
    assert [item["name"] for item in worker["spec"]["initContainers"]] == ["wait-gcs-ready"]
    assert worker["status"]["phase"] == "Pending"


def test_only_a_head_that_serves_is_an_engine(groups: Any) -> None:
    serving = a_template("sh", "-c", "$KUBERAY_GEN_RAY_START_CMD & vllm serve acme/base --tensor-parallel-size 16")
    serving["metadata"] = {"annotations": {"ray.io/overwrite-container-cmd": "true"}}
    groups.store.create(CLUSTERS, a_ray_cluster(serving))
    groups.run(60)
    running = [name for name in names(groups) if groups.world.host_of(f"default/{name}").engine is not None]
    assert running == ["llm-head"]


@pytest.mark.parametrize(
    ("group", "workers"),
    [
        ({"replicas": 3}, 3),
        ({"replicas": 1, "minReplicas": 2}, 2),
        ({"replicas": 5, "maxReplicas": 3}, 3),
        ({"replicas": 1, "numOfHosts": 4}, 4),
        ({"replicas": 3, "suspend": True}, 0),
    ],
)
def test_the_size_of_a_worker_group(groups: Any, group: dict[str, Any], workers: int) -> None:
    groups.store.create(CLUSTERS, a_ray_cluster(**group))
    groups.run(10)
    assert len(names(groups)) == 1 + workers


def test_a_deleted_or_ended_worker_is_replaced(groups: Any) -> None:
    groups.store.create(CLUSTERS, a_ray_cluster(template=a_template(restartPolicy="Never"), replicas=1))
    groups.run(8)
    deleted = deletions(groups)
    groups.run(60)
    assert deleted, "its container ends after some seconds and is not restarted"
    assert len(names(groups)) == 2


def test_a_service_has_one_cluster_of_a_generated_name(groups: Any) -> None:
    spec = {"serveConfigV2": "applications: []", "rayClusterConfig": a_ray_cluster()["spec"]}
    groups.store.create(SERVICES, {"metadata": {"name": "chat", "namespace": "default"}, "spec": spec})
    groups.run(60)
    (cluster,) = groups.store.list(CLUSTERS).items
    assert cluster["metadata"]["name"].startswith("chat-")
    assert cluster["metadata"]["labels"]["ray.io/originated-from-cr-name"] == "chat"
    (head, *_) = (pod for pod in groups.pods() if pod["metadata"]["labels"]["ray.io/node-type"] == "head")
    assert groups.world.workload_of(head) == "chat"
    groups.store.delete(SERVICES, "default", "chat")
    groups.run(120)
    assert names(groups) == []
