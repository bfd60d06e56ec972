"""Init containers, sidecars, hooks and readiness gates of a pod over time."""

from typing import Any

import pytest

from tests.twin.world.conftest import SimulatedCluster, condition, is_ready
from twin.world.kubelet.lifecycle import pre_stop_seconds

SIDECAR = {"name": "aibrix-runtime", "image": "aibrix/runtime:v0.4.0", "restartPolicy": "Always"}
TASK = {"name": "task", "image": "tool:1"}


def init(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "tool:1", **fields}


def states(cluster: Any) -> dict[str, str]:
    """Return the state of each container of the only pod: `running`, or a reason."""
    status = cluster.pod()["status"]
    result = {}
    for item in [*status.get("initContainerStatuses", ()), *status["containerStatuses"]]:
        ((state, details),) = item["state"].items()
        result[item["name"]] = details.get("reason", state)
    return result


def test_init_containers_run_one_after_the_other_before_the_engine(cluster: Any) -> None:
    cluster.deploy(1, pod={"initContainers": [init("fetch"), init("chmod")]})
    seen: list[dict[str, str]] = []
    cluster.store.subscribe(
        lambda change: seen.append(states(cluster)) if "containerStatuses" in change.object.get("status", {}) else None,
        "pods",
    )
    cluster.run(100)
    order = [tuple(item.values()) for item in seen]
    assert list(dict.fromkeys(order)) == [
        ("ContainerCreating", "ContainerCreating", "PodInitializing"),
        ("running", "ContainerCreating", "PodInitializing"),
        ("Completed", "running", "PodInitializing"),
        ("Completed", "Completed", "running"),
    ]
    assert is_ready(cluster.pod())
    assert condition(cluster.pod(), "Initialized")["status"] == "True"


def test_an_init_container_that_fails_is_restarted_with_back_off(ending: Any) -> None:
    cluster = ending("broken", 1)
    cluster.deploy(1, pod={"initContainers": [init("broken")]})
    cluster.run(200)
    pod = cluster.pod()
    (status,) = pod["status"]["initContainerStatuses"]
    assert status["restartCount"] >= 4
    assert pod["status"]["phase"] == "Pending"
    assert condition(pod, "Initialized")["message"] == "containers with incomplete status: [broken]"


def test_a_native_sidecar_starts_between_init_containers_and_stays(cluster: Any) -> None:
    cluster.deploy(1, pod={"initContainers": [init("fetch"), SIDECAR, init("chmod")]})
    cluster.run(100)
    assert states(cluster) == {
        "fetch": "Completed",
        "aibrix-runtime": "running",
        "chmod": "Completed",
        "vllm": "running",
    }


@pytest.mark.parametrize("hook", [{"sleep": {"seconds": 15}}, {"exec": {"command": ["/bin/sh", "-c", "sleep 15"]}}])
def test_an_engine_serves_until_its_pre_stop_hook_has_ended(cluster: Any, hook: dict[str, Any]) -> None:
    cluster.deploy(1, container={"lifecycle": {"preStop": hook}})
    cluster.run(100)
    host, name = cluster.host(), cluster.name()
    cluster.store.delete("pods", *name.split("/"))
    cluster.run(114)
    assert host.listening
    cluster.run(119)
    assert name not in [f"default/{pod['metadata']['name']}" for pod in cluster.pods()]


def test_a_hook_longer_than_the_grace_period_is_cut_off(cluster: Any) -> None:
    hook = {"lifecycle": {"preStop": {"sleep": {"seconds": 300}}}}
    cluster.deploy(1, container=hook, pod={"terminationGracePeriodSeconds": 10})
    cluster.run(100)
    host, name = cluster.host(), cluster.name()
    cluster.store.delete("pods", *name.split("/"))
    cluster.run(109)
    assert host.listening
    cluster.run(113)
    assert cluster.world.host_of(name) is None


@pytest.mark.parametrize(
    ("command", "seconds"),
    [
        (["sleep", "20"], 20.0),
        (["/bin/sleep", "5"], 5.0),
        (["sh", "-c", "touch /tmp/stop && sleep 2m; sleep 1.5"], 121.5),
        (["sh", "-c", "curl -X POST localhost:8000/drain"], 0.0),
        (["sh", "-c", "asleep 3"], 0.0),
    ],
)
def test_a_hooks_time_is_read_from_its_command(command: list[str], seconds: float) -> None:
    assert pre_stop_seconds({"lifecycle": {"preStop": {"exec": {"command": command}}}}) == seconds


def test_a_readiness_gate_keeps_a_pod_unready_until_its_condition_is_true(cluster: Any) -> None:
    cluster.deploy(1, pod={"readinessGates": [{"conditionType": "example.com/registered"}]})
    cluster.run(100)
    ready = condition(cluster.pod(), "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ReadinessGatesNotReady")
    assert ready["message"] == (
        'corresponding condition of pod readiness gate "example.com/registered" does not exist.'
    )
    conditions = [*cluster.pod()["status"]["conditions"], {"type": "example.com/registered", "status": "True"}]
    body = {"status": {"conditions": conditions}}
    cluster.store.patch("pods", *cluster.name().split("/"), body, subresource="status")
    assert is_ready(cluster.pod())
    cluster.run(120)
    assert condition(cluster.pod(), "example.com/registered")["status"] == "True", "the kubelet keeps it"


@pytest.fixture
def ending() -> Any:
    """Return a function that builds a cluster in which a container ends after five seconds."""

    def build(name: str, code: int) -> SimulatedCluster:
        return SimulatedCluster(runs={name: (5.0, code)})

    return build


def test_a_job_completes_with_its_pods(ending: Any) -> None:
    cluster = ending("task", 0)
    template = {"spec": {"restartPolicy": "Never", "initContainers": [SIDECAR], "containers": [TASK]}}
    job = {"metadata": {"name": "fetch"}, "spec": {"completions": 3, "parallelism": 2, "template": template}}
    cluster.store.create("jobs.batch", job, namespace="default")
    cluster.run(60)
    status = cluster.store.get("jobs.batch", "default", "fetch")["status"]
    assert (status["succeeded"], status.get("active", 0)) == (3, 0)
    assert [item["type"] for item in status["conditions"]] == ["SuccessCriteriaMet", "Complete"]
    assert {pod["status"]["phase"] for pod in cluster.pods()} == {"Succeeded"}, "finished pods remain"


def test_a_job_fails_at_its_back_off_limit(ending: Any) -> None:
    cluster = ending("task", 1)
    template = {"spec": {"restartPolicy": "Never", "containers": [TASK]}}
    job = {"metadata": {"name": "fetch"}, "spec": {"backoffLimit": 2, "template": template}}
    cluster.store.create("jobs.batch", job, namespace="default")
    cluster.run(20)
    assert len(cluster.pods()) == 2, "the second pod is created ten seconds after the first has failed"
    cluster.run(200)
    status = cluster.store.get("jobs.batch", "default", "fetch")["status"]
    assert status["failed"] == 3
    assert status["conditions"][-1]["reason"] == "BackoffLimitExceeded"


def test_a_finished_job_is_deleted_after_its_time_to_live(ending: Any) -> None:
    cluster = ending("task", 0)
    template = {"spec": {"restartPolicy": "Never", "containers": [TASK]}}
    job = {"metadata": {"name": "fetch"}, "spec": {"ttlSecondsAfterFinished": 30, "template": template}}
    cluster.store.create("jobs.batch", job, namespace="default")
    cluster.run(30)
    assert len(cluster.store.list("jobs.batch").items) == 1
    cluster.run(60)
    assert not cluster.store.list("jobs.batch").items
    assert not cluster.pods()
