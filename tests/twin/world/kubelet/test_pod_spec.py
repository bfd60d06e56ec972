"""Values read from manifests: the engine's container, its environment, tolerations, and pod ranks."""

from typing import Any

import pytest

from twin.world.kubelet.pod_spec import (
    ConfigMissing,
    engine_of,
    environment,
    has_runtime_sidecar,
    long_running,
    port_of,
    runs_engine,
    version_of,
)
from twin.world.scheduling.scheduler import gpus_of, tolerates
from twin.world.workloads.replicasets import deletion_order


@pytest.mark.parametrize(
    "engine",
    [
        {"image": "vllm/vllm-openai:v0.9.1"},
        {"image": "registry/engine", "command": ["vllm", "serve", "acme/base"]},
        {"image": "registry/engine", "args": ["vllm serve acme/base"]},
        {"image": "registry/engine", "resources": {"limits": {"nvidia.com/gpu": "1"}}},
        {"image": "registry/engine", "ports": [{"containerPort": 8000}]},
    ],
)
def test_the_engine_is_the_container_that_looks_like_one(engine: dict[str, Any]) -> None:
    other = {"name": "web", "image": "nginx"}
    for containers in ([{"name": "main", **engine}, other], [other, {"name": "main", **engine}]):
        assert engine_of({}, {"containers": containers}) == "main"


@pytest.mark.parametrize(
    ("container", "runs"),
    [
        ({"image": "aibrix/vllm-mock:nightly", "command": ["python", "app.py"]}, False),
        ({"image": "vllm/vllm-openai:v0.9.1", "command": ["sh", "-c"], "args": ["sleep 6000"]}, False),
        ({"image": "nvcr.io/tensorrt-llm", "command": ["trtllm-serve", "serve", "/models/qwen"]}, False),
        ({"image": "ghcr.io/vllm-project/semantic-router/extproc:v1", "args": ["--secure=false"]}, False),
        ({"image": "acme/xdit", "command": ["sh", "-c"], "args": ["python3 launch.py --model_path /models/x"]}, False),
        ({"image": "vllm/vllm-openai:v0.9.1", "command": ["./start.sh"], "args": ["--max-loras", "4"]}, True),
        ({"image": "vllm/vllm-openai:v0.9.1", "command": ["python", "/opt/my_vllm.py"]}, True),
        ({"image": "vllm/vllm-openai:v0.9.1", "args": ["--no-such-flag"]}, True),
    ],
)
def test_pods_whose_command_is_another_program_run_no_engine(container: dict[str, Any], runs: bool) -> None:
    sidecar = {"name": "aibrix-runtime", "image": "aibrix/runtime:v0.4.1", "command": ["aibrix_runtime"]}
    labels = {"model.aibrix.ai/name": "m"} if "secure" not in str(container) else {}
    assert runs_engine("Deployment", labels, [{"name": "main", **container}, sidecar]) is runs


def test_native_sidecars_are_the_init_containers_that_keep_running() -> None:
    spec = {
        "initContainers": [{"name": "setup"}, {"name": "aibrix-runtime", "restartPolicy": "Always"}],
        "containers": [{"name": "vllm"}],
    }
    assert [container["name"] for container in long_running(spec)] == ["aibrix-runtime", "vllm"]
    assert has_runtime_sidecar(spec)


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("vllm/vllm-openai:v0.28.1", "v0.28.1"),
        ("localhost:5000/vllm:0.9.1@sha256:abc", "0.9.1"),
        ("localhost:5000/vllm", "0.27.0"),
        ("vllm/vllm-openai:my-build", "0.27.0"),
    ],
)
def test_the_version_is_the_image_tags_if_it_is_one(image: str, version: str) -> None:
    assert version_of({"image": image}) == version


@pytest.mark.parametrize(("port", "number"), [(8000, 8000), ("8000", 8000), ("http", 8080), ("nowhere", 0)])
def test_a_probes_port_is_a_number_or_a_declared_name(port: int | str, number: int) -> None:
    assert port_of({"ports": [{"name": "http", "containerPort": 8080}]}, port) == number


def reference(kind: str, name: str, key: str, **more: Any) -> dict[str, Any]:
    return {"name": "VALUE", "valueFrom": {f"{kind}KeyRef": {"name": name, "key": key, **more}}}


def test_an_environment_is_read_from_secrets_and_configmaps(cluster: Any) -> None:
    cluster.store.create("secrets", {"metadata": {"name": "s"}, "data": {"key": "dG9w"}}, namespace="default")
    cluster.store.create("configmaps", {"metadata": {"name": "c"}, "data": {"mode": "fast"}}, namespace="default")
    container = {
        "envFrom": [{"configMapRef": {"name": "c"}, "prefix": "X_"}, {"secretRef": {"name": "no", "optional": True}}],
        "env": [{"name": "PLAIN", "value": "1"}, reference("secret", "s", "key")],
    }
    assert environment(cluster.store, "default", container) == {"X_mode": "fast", "PLAIN": "1", "VALUE": "top"}


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        (reference("secret", "absent", "key"), 'secret "absent" not found'),
        (reference("configMap", "absent", "key"), 'configmap "absent" not found'),
        (reference("secret", "s", "other"), "couldn't find key other in Secret default/s"),
    ],
)
def test_a_missing_reference_is_named(cluster: Any, variable: dict[str, Any], message: str) -> None:
    cluster.store.create("secrets", {"metadata": {"name": "s"}, "data": {}}, namespace="default")
    with pytest.raises(ConfigMissing, match=message):
        environment(cluster.store, "default", {"env": [variable]})


@pytest.mark.parametrize("kind", ["secret", "configMap"])
def test_an_optional_reference_may_be_missing(cluster: Any, kind: str) -> None:
    container = {"env": [reference(kind, "absent", "key", optional=True)]}
    assert environment(cluster.store, "default", container) == {}


TAINT = {"key": "gpu", "value": "a100", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "gpu", "operator": "Exists"}, True),
        ({"key": "gpu", "value": "a100"}, True),
        ({"key": "gpu", "value": "h100"}, False),
        ({"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_a_toleration_matches_by_key_value_and_effect(toleration: dict[str, str], tolerated: bool) -> None:
    assert (tolerates({"spec": {"tolerations": [toleration]}}, TAINT) is not None) is tolerated


def test_gpus_are_requests_or_limits_of_all_containers() -> None:
    ask = {"nvidia.com/gpu": "2"}
    containers = [{"resources": {"requests": ask}}, {"resources": {"limits": ask}}, {}]
    assert gpus_of({"spec": {"containers": containers}}) == 4


def a_pod(name: str, *, node: str = "n", phase: str = "Running", ready: str = "", created: int = 0) -> dict[str, Any]:
    since = {"type": "Ready", "status": "True", "lastTransitionTime": f"2026-01-01T00:{ready}:00Z"}
    return {
        "metadata": {"name": name, "creationTimestamp": f"2026-01-01T00:{created:02d}:00Z"},
        "spec": {"nodeName": node} if node else {},
        "status": {"phase": phase, "conditions": [since] if ready else []},
    }


def test_the_least_useful_pods_leave_first() -> None:
    pods = [
        a_pod("old", ready="10"),
        a_pod("young", ready="20", created=9),
        a_pod("unready"),
        a_pod("pending", phase="Pending"),
        a_pod("unassigned", node="", phase="Pending"),
    ]
    assert [pod["metadata"]["name"] for pod in deletion_order(pods)] == [
        "unassigned",
        "pending",
        "unready",
        "young",
        "old",
    ]
