"""Groups of pods in the small simulated cluster."""

from typing import Any

import pytest

from tests.twin.world.conftest import SimulatedCluster, a_deployment
from twin.world.groups.definitions import group_definitions

LWS = "leaderworkersets.leaderworkerset.x-k8s.io"


@pytest.fixture
def groups() -> SimulatedCluster:
    """Return a cluster with the definitions of all groups."""
    cluster = SimulatedCluster(nodes=4, gpus=8, startup=5.0)
    for definition in group_definitions().values():
        cluster.store.register_crd(definition)
    return cluster


def an_engine_template(*args: str) -> dict[str, Any]:
    """Return the pod template of an engine; `args` replace its arguments."""
    container = {"args": list(args)} if args else {}
    return dict(a_deployment(container=container)["spec"]["template"])


def a_worker_template() -> dict[str, Any]:
    """Return the pod template of a worker, which joins its leader and serves nothing."""
    command = ["sh", "-c", "bash /opt/join.sh worker --address=$(LWS_LEADER_ADDRESS)"]
    container = {"name": "worker", "image": "vllm/vllm-openai:v0.27.0", "command": command}
    return {"metadata": {"labels": {"app": "worker"}}, "spec": {"containers": [container]}}


def a_leader_worker_set(replicas: int = 2, size: int = 3, **spec: Any) -> dict[str, Any]:
    """Return a LeaderWorkerSet `llm` of one engine and its workers a group; `spec` replaces fields of its spec."""
    group = {"size": size, "leaderTemplate": an_engine_template(), "workerTemplate": a_worker_template()}
    return {
        "metadata": {"name": "llm", "namespace": "default"},
        "spec": {"replicas": replicas, "leaderWorkerTemplate": {**group, **spec.pop("group", {})}, **spec},
    }


def names(cluster: SimulatedCluster) -> list[str]:
    return sorted(pod["metadata"]["name"] for pod in cluster.pods())


def deletions(cluster: SimulatedCluster) -> list[str]:
    """Return a list to which the names of deleted pods are added."""
    deleted: list[str] = []

    def on_change(change: Any) -> None:
        if change.type == "DELETED":
            deleted.append(change.object["metadata"]["name"])

    cluster.store.subscribe(on_change, "pods")
    return deleted
