"""The life cycle of a pod: start, readiness, crashes, termination."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from fake_vllm.faults.rules import FaultRule


def ready_of(pod: dict[str, Any]) -> dict[str, Any]:
    return next((item for item in pod["status"]["conditions"] if item["type"] == "Ready"), {})


def engine_status(pod: dict[str, Any]) -> dict[str, Any]:
    return pod["status"]["containerStatuses"][0]


def test_three_pods_become_ready_at_the_probes_time_and_not_before(cluster: Any) -> None:
    cluster.deploy(3)
    cluster.run(120)
    assert len(cluster.statuses) == 3
    for pod in cluster.pods():
        host = cluster.world.host_of(f"default/{pod['metadata']['name']}")
        started = next(t for t, event, _ in cluster.engine_events if event == "started")
        assert host is not None
        assert host.listening
        assert pod["status"]["phase"] == "Running"
        assert pod["status"]["podIP"] == host.ip
        assert engine_status(pod)["containerID"] == host.container_id
        assert engine_status(pod)["ready"]
    # the containers run from about 2 s on, engines listen 40 s later; rounds are at 30, 35, 40, ... after the start
    for t, _, _ in cluster.statuses:
        assert started <= t <= started + 5
        assert math.isclose((t - (started - 40)) % 5, 0, abs_tol=0.2)
    deployment = cluster.store.get("deployments.apps", "default", "qwen")
    assert deployment["status"]["availableReplicas"] == 3


def test_until_the_engine_listens_the_pod_runs_and_is_not_ready(cluster: Any) -> None:
    cluster.deploy()
    cluster.run(20)
    pod = cluster.pod()
    assert pod["status"]["phase"] == "Running"
    assert engine_status(pod)["started"]
    assert not engine_status(pod)["ready"]
    assert ready_of(pod)["reason"] == "ContainersNotReady"
    assert not cluster.host().listening
    assert cluster.world.hosts[pod["status"]["podIP"]] is cluster.host()


def test_without_a_probe_a_pod_is_ready_although_nothing_listens(cluster: Any) -> None:
    cluster.deploy(container={"readinessProbe": None})
    cluster.run(10)
    assert ready_of(cluster.pod())["status"] == "True"
    assert not cluster.host().listening


def test_a_readiness_probe_of_a_path_that_requires_a_key_never_succeeds(cluster: Any) -> None:
    probe = {"httpGet": {"path": "/v1/models", "port": 8000}, "periodSeconds": 5}
    cluster.deploy(container={"args": ["--api-key", "k", "--enable-lora"], "readinessProbe": probe})
    cluster.run(300)
    assert cluster.host().listening
    assert not cluster.statuses


@pytest.mark.parametrize("port", [8001, "metrics"])
def test_a_probe_of_another_port_never_passes(cluster: Any, port: int | str) -> None:
    cluster.deploy(container={"readinessProbe": {"httpGet": {"path": "/health", "port": port}}})
    cluster.run(300)
    assert not cluster.statuses


def test_a_startup_probe_holds_the_others_back_and_gives_up_at_its_threshold(cluster: Any) -> None:
    health = {"httpGet": {"path": "/health", "port": 8000}}
    container = {
        "startupProbe": {**health, "periodSeconds": 5, "failureThreshold": 4},
        "livenessProbe": {**health, "periodSeconds": 1, "failureThreshold": 1},
    }
    cluster.deploy(container=container)
    cluster.run(30)  # 40 s are needed, 15 s allowed: killed at some 17 s, started again
    assert engine_status(cluster.pod())["restartCount"] == 1
    assert engine_status(cluster.pod())["lastState"]["terminated"]["exitCode"] == 137
    assert not cluster.host().listening


def test_an_engine_restarts_in_place_and_has_forgotten(cluster: Any) -> None:
    cluster.deploy()
    cluster.run(100)
    before, ip, uid = cluster.host().container_id, cluster.host().ip, cluster.pod()["metadata"]["uid"]
    cluster.world.restart_engine(cluster.name())
    assert cluster.host().engine is None
    assert not engine_status(cluster.pod())["ready"]
    cluster.run(200)
    pod = cluster.pod()
    assert (cluster.host().ip, pod["metadata"]["uid"]) == (ip, uid)
    assert cluster.host().container_id == engine_status(pod)["containerID"] != before
    assert engine_status(pod)["restartCount"] == 1
    assert engine_status(pod)["ready"]
    assert [event for _, event, _ in cluster.engine_events] == ["started", "stopped", "started"]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--max-lorass", "2"], 2, "unrecognized arguments: --max-lorass 2"),
        (
            ["--enable-lora", "--api-server-count", "2"],
            1,
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING cannot be used with api_server_count > 1",
        ),
        (["--enable-lora", "--max-loras", "0"], 1, "max_loras: Input should be greater than or equal to 1"),
    ],
)
def test_a_pods_state_has_exit_code_and_message_of_an_engine_that_refuses_to_start(
    cluster: Any, args: list[str], code: int, message: str
) -> None:
    """The messages are those of recorded start-ups of vLLM."""
    updating = {"name": "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "value": "True"}
    cluster.deploy(container={"args": args, "env": [updating]})
    cluster.run(10)
    ended = engine_status(cluster.pod())["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (code, "Error", message)


def test_a_crash_loop_waits_longer_each_time(cluster: Any) -> None:
    cluster.deploy(container={"args": ["--enable-lora", "--max-loras", "4", "--max-cpu-loras", "2"]})
    starts: list[float] = []
    messages: list[str] = []

    def note(change: Any) -> None:
        if change.type != "MODIFIED" or "containerStatuses" not in change.object.get("status", {}):
            return
        state = engine_status(change.object)["state"]
        if "running" in state:
            starts.append(cluster.env.now)
        elif "waiting" in state:
            messages.append(state["waiting"].get("message", ""))

    cluster.store.subscribe(note, "pods")
    cluster.run(400)
    gaps = [round(b - a) for a, b in pairwise(starts)]
    expected = [4, 14, 24, 44, 84, 164]  # 3 s until it gives up, about 1 s to notice, and the wait
    assert all(abs(gap - wait) <= 1 for gap, wait in zip(gaps, expected, strict=False))
    assert len(gaps) == 6
    assert any("back-off 160s restarting failed container=vllm" in message for message in messages)
    assert "max_cpu_loras (2)" in engine_status(cluster.pod())["lastState"]["terminated"]["message"]


def test_a_pod_deleted_with_grace_drains_and_is_gone(cluster: Any) -> None:
    cluster.deploy()
    cluster.run(100)
    host, name = cluster.host(), cluster.pod()["metadata"]["name"]
    cluster.store.delete("pods", "default", name)
    assert not host.listening
    cluster.run(104)
    assert host.engine is None
    assert host.ip not in cluster.world.hosts
    assert name not in [pod["metadata"]["name"] for pod in cluster.pods()]
    assert 101 <= cluster.events("stopped")[0] <= 103


def test_a_killed_pod_is_gone_at_once_and_replaced(cluster: Any) -> None:
    cluster.deploy(2)
    cluster.run(100)
    victim = cluster.world.running_pods()[0]
    host = cluster.world.host_of(victim)
    assert host is not None
    cluster.world.kill_pod(victim)
    assert host.engine is None
    assert cluster.world.host_of(victim) is None
    cluster.run(200)
    assert len(cluster.world.running_pods()) == 2
    assert victim not in cluster.world.pods_of("default/qwen")
    assert cluster.store.get("deployments.apps", "default", "qwen")["status"]["readyReplicas"] == 2


def test_forced_unreadiness_shows_at_once_and_leaves_the_engine_alone(cluster: Any) -> None:
    cluster.deploy()
    cluster.run(100)
    cluster.world.force_unready(cluster.name(), True)
    assert ready_of(cluster.pod())["status"] == "False"
    assert ready_of(cluster.pod())["lastTransitionTime"] == "2026-01-01T00:01:40Z"
    cluster.run(107.5)
    cluster.world.force_unready(cluster.name(), False)
    assert ready_of(cluster.pod())["status"] == "True"
    assert ready_of(cluster.pod())["lastTransitionTime"] == "2026-01-01T00:01:47Z"
    assert cluster.events("stopped") == []


def test_a_port_that_refuses_probes_makes_the_pod_unready_within_three_rounds(cluster: Any) -> None:
    cluster.deploy()
    cluster.run(100)
    handle = cluster.host().faults.add(FaultRule("connection-refused", callers=("probes",)))
    cluster.run(130)
    (_, (lost, _, ready)) = cluster.statuses
    assert not ready
    assert 110 <= lost <= 115
    cluster.host().faults.remove(handle)
    cluster.run(140)
    assert cluster.statuses[-1][2]


def test_a_fault_of_controller_requests_does_not_affect_readiness(cluster: Any) -> None:
    cluster.deploy()
    cluster.run(100)
    cluster.host().faults.add(FaultRule("connection-refused"))
    cluster.run(200)
    assert len(cluster.statuses) == 1


def test_chance_is_drawn_at_every_probe(cluster: Any) -> None:
    cluster.deploy(container={"readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "failureThreshold": 1}})
    cluster.run(100)
    cluster.host().faults.add(FaultRule("timeout", callers=("probes",), probability=0.5))
    cluster.run(1100)  # 100 rounds: some 50 changes of mind
    assert 25 < len(cluster.statuses) < 75


def test_an_idle_hour_costs_no_events(cluster: Any) -> None:
    liveness = {"httpGet": {"path": "/health", "port": 8000}, "initialDelaySeconds": 60}
    cluster.deploy(3, container={"livenessProbe": liveness})
    cluster.run(700)  # after the deadline of the rollout
    cluster.env.run()  # until nothing is left to happen
    assert cluster.env.now == 700
    assert len(cluster.statuses) == 3


def test_liveness_that_does_not_wait_for_a_slow_start_kills_it(cluster: Any) -> None:
    cluster.deploy(container={"livenessProbe": {"httpGet": {"path": "/health", "port": 8000}}})
    cluster.run(600)
    assert not cluster.statuses
    assert engine_status(cluster.pod())["restartCount"] > 3


def test_a_missing_secret_keeps_the_container_waiting_until_it_comes(cluster: Any) -> None:
    env = [{"name": "VLLM_API_KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "vllm"}}}]
    cluster.deploy(container={"env": env})
    cluster.run(60)
    waiting = engine_status(cluster.pod())["state"]["waiting"]
    assert waiting == {"reason": "CreateContainerConfigError", "message": 'secret "keys" not found'}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "data": {"vllm": "c2VjcmV0"}}
    cluster.store.create("secrets", secret, namespace="default")
    cluster.run(200)
    assert cluster.host().engine.config.api_keys == ("secret",)
    assert engine_status(cluster.pod())["ready"]


def test_a_sidecar_is_ready_once_the_engine_listens(cluster_of: Callable[..., Any]) -> None:
    cluster = cluster_of(startup=100.0)
    sidecar = {
        "name": "aibrix-runtime",
        "image": "aibrix/runtime:v0.7.0",
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 5},
    }
    cluster.deploy(sidecars=(sidecar,))
    cluster.run(90)
    assert [item["ready"] for item in cluster.pod()["status"]["containerStatuses"]] == [False, False]
    cluster.run(120)
    assert [item["ready"] for item in cluster.pod()["status"]["containerStatuses"]] == [True, True]
    cluster.world.restart_engine(cluster.name())
    cluster.run(140)
    statuses = cluster.pod()["status"]["containerStatuses"]
    assert [item["ready"] for item in statuses] == [False, False]
    assert [item["restartCount"] for item in statuses] == [1, 0]
