"""Names that meet, meshes, several ports, and API servers that refuse: what other people's clusters do."""

import asyncio
from math import inf
from pathlib import Path
from typing import Any

import pytest

from controller.client.interface import ClientError, Forbidden, Invalid, Unavailable
from tests.harness.story import SLICES, Action, one, run_story
from tests.twin.worlds import adapters, deployment
from twin.sim.simulation import Simulation
from twin.trace.lines import LogLine
from twin.world.store_client import StoreClient

PROXY = {"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.27.0", "args": ["proxy", "sidecar"]}
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"


def slices_of(simulation: Simulation, name: str = "a-0") -> list[dict[str, Any]]:
    items = simulation.store.list(SLICES, namespace="default").items
    return [item for item in items if item["metadata"]["labels"].get("adapter.model.aibrix.ai/name") == name]


def template(pods: int = 2) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a Deployment and its pod template."""
    workload = deployment(pods)
    return workload, workload["spec"]["template"]


def test_an_adapter_on_many_pods_leaves_the_slice_of_a_similar_name_alone(tmp_path: Path) -> None:
    named = [adapters(1, name="sql", replicas=None), adapters(1, name="sql-1", replicas=1)]
    nodes = {"nodes": {"count": 16, "gpus": 8}}
    story = run_story(
        tmp_path, objects=[deployment(120)], cluster=nodes, adapters=named, traffic={"rate": "2/s", "from": "4m"}
    )
    assert (len(story.published("sql")), len(story.published("sql-1"))) == (120, 1)
    assert story.violations == []


def without_label(label: str) -> Action:
    return lambda simulation: simulation.store.patch(
        SLICES, "default", slices_of(simulation)[0]["metadata"]["name"], {"metadata": {"labels": {label: None}}}
    )


def without_owner(simulation: Simulation) -> None:
    name = slices_of(simulation)[0]["metadata"]["name"]
    simulation.store.patch(SLICES, "default", name, {"metadata": {"ownerReferences": None}})


@pytest.mark.parametrize(
    "spoil",
    [without_label(SERVICE_NAME), without_label(MANAGED_BY), without_owner],
    ids=["service", "manager", "owner"],
)
def test_a_slice_that_loses_what_marks_it_is_repaired(spoil: Action, tmp_path: Path) -> None:
    story = run_story(tmp_path, (120, spoil), adapters=one(), duration="125s")
    (item,) = slices_of(story.simulation)
    assert item["metadata"]["labels"][SERVICE_NAME] == "a-0"
    assert item["metadata"]["labels"][MANAGED_BY] == "lora-controller"
    assert [owner["name"] for owner in item["metadata"]["ownerReferences"]] == ["a-0"]
    assert story.published() == story.holders()


def test_a_users_own_slice_of_the_adapters_name_is_neither_changed_nor_deleted(tmp_path: Path) -> None:
    own = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "a-0", "namespace": "default", "labels": {SERVICE_NAME: "shop"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.9.9.9"]}],
        "ports": [{"name": "http", "port": 80}],
    }
    edits = [{"at": "2m", "of": "ModelAdapter/a-0", "delete": True}]
    story = run_story(
        tmp_path,
        (20, lambda simulation: simulation.store.create(SLICES, own)),
        adapters=one(),
        edits=edits,
        duration="4m",
    )
    kept = story.simulation.store.get(SLICES, "default", "a-0")
    assert kept["endpoints"] == own["endpoints"]
    assert "ownerReferences" not in kept["metadata"]
    assert slices_of(story.simulation) == []


def test_a_service_that_drifts_is_taken_back(tmp_path: Path) -> None:
    def drift(simulation: Simulation) -> None:
        spec = {"selector": {"app": "x"}, "publishNotReadyAddresses": True, "ports": [{"name": "http", "port": 80}]}
        simulation.store.patch("services", "default", "a-0", {"spec": spec})

    story = run_story(tmp_path, (120, drift), adapters=one(), duration="125s")
    spec = story.simulation.store.get("services", "default", "a-0")["spec"]
    assert not spec.get("selector")
    assert not spec.get("publishNotReadyAddresses")
    assert [port["port"] for port in spec["ports"]] == [8000]
    (note,) = [note for reason, note in story.event_notes() if reason == "SelectorRemoved"]
    assert note.endswith(
        "kubectl delete endpoints a-0; kubectl delete endpointslices "
        "-l 'kubernetes.io/service-name=a-0,endpointslice.kubernetes.io/managed-by!=lora-controller'"
    )


@pytest.mark.parametrize("place", ["first", "last", "native"])
def test_restarts_in_place_are_noticed_beside_a_proxy(place: str, tmp_path: Path) -> None:
    workload, pod = template(1)
    if place == "native":
        pod["spec"]["initContainers"] = [{**PROXY, "restartPolicy": "Always"}]
    else:
        pod["spec"]["containers"].insert(0 if place == "first" else 1, PROXY)
    restart = {"kind": "engine-restart", "pods": {"count": 1, "of": "qwen"}, "at": "2m"}
    story = run_story(tmp_path, objects=[workload], adapters=one(), faults=[restart], duration="4m")
    assert len(story.sent("load")) == 2
    assert story.published() == story.holders() != []
    assert story.violations == []


def test_a_runtime_sidecar_may_be_a_native_one(tmp_path: Path) -> None:
    workload, pod = template(1)
    probe = {"httpGet": {"path": "/healthz", "port": 8080}}
    pod["spec"]["initContainers"] = [
        {"name": "aibrix-runtime", "image": "aibrix/runtime:v0.7.0", "restartPolicy": "Always", "startupProbe": probe}
    ]
    story = run_story(tmp_path, objects=[workload], adapters=one(artifactURL="s3://acme/a-0/"), duration="3m")
    assert story.adapter()["status"]["phase"] == "Running"
    (pod_object,) = story.simulation.store.list("pods", namespace="default").items
    assert [item["name"] for item in pod_object["status"]["initContainerStatuses"]] == ["aibrix-runtime"]


def test_pods_of_one_adapter_on_different_ports_are_all_reached(tmp_path: Path) -> None:
    first, second = deployment(1), deployment(1)
    second["metadata"]["name"] = "other"
    pod = second["spec"]["template"]
    pod["metadata"]["labels"] = {**pod["metadata"]["labels"], "app": "other"}
    second["spec"]["selector"] = {"matchLabels": {"app": "other"}}
    container = pod["spec"]["containers"][0]
    container["command"] = [*container["command"], "--port", "9000"]
    container["readinessProbe"] = {**container["readinessProbe"], "httpGet": {"path": "/health", "port": 9000}}
    users = {"rate": "2/s", "from": "2m"}
    story = run_story(
        tmp_path, objects=[first, second], adapters=[adapters(1, replicas=None)], traffic=users, duration="5m"
    )
    assert sorted(item["ports"][0]["port"] for item in slices_of(story.simulation)) == [8000, 9000]
    assert len(story.published()) == 2
    assert story.violations == []


def test_a_refusal_of_the_api_server_is_in_the_conditions_until_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = 'services "a-0" is forbidden: exceeded quota: team-quota, requested: count/services=1, used: 5, limited: 5'
    honest = StoreClient.create

    async def create(self: StoreClient, kind: Any, obj: Any) -> Any:
        if kind.plural == "services" and asyncio.get_running_loop().time() < 300:
            raise Forbidden(words, code=403)
        return await honest(self, kind, obj)

    monkeypatch.setattr(StoreClient, "create", create)
    observed: list[dict[str, Any]] = []

    def look(simulation: Simulation) -> None:
        observed.append(simulation.store.get("modeladapters.model.aibrix.ai", "default", "a-0")["status"])

    story = run_story(tmp_path, (200, look), adapters=one(), duration="15m")
    (status,) = observed
    ready = next(item for item in status["conditions"] if item["type"] == "Ready")
    assert (status["phase"], ready["status"], ready["reason"]) == ("Bound", "False", "QuotaExceeded")
    assert ready["message"] == f"{words}; raise the ResourceQuota of the namespace"
    assert [reason for reason, _ in story.event_notes()].count("QuotaExceeded") == 1
    assert story.adapter()["status"]["phase"] == "Running"
    assert story.conditions()["Bound"][:2] == ("True", "Bound")


REFUSED_STATUS = 'ModelAdapter.model.aibrix.ai "a-0" is invalid: status: Invalid value: "": this field is not known'


@pytest.mark.parametrize("error", [Invalid(REFUSED_STATUS, code=422), Unavailable("failed calling webhook", code=500)])
def test_a_status_that_cannot_be_written_keeps_no_dead_pod_published(
    error: ClientError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_statuses(monkeypatch, error, since=100.0)
    kill = {"kind": "pod-kill", "pods": {"count": 1, "of": "qwen"}, "at": "2m"}
    story = run_story(tmp_path, adapters=[adapters(1, replicas=None)], faults=[kill], duration="123s")
    assert len(story.adapter()["status"]["instances"]) == 3
    assert len(story.published()) == 2
    assert story.published() == story.holders()


def test_a_refused_status_holds_up_no_load_and_is_written_when_it_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_statuses(monkeypatch, Invalid(REFUSED_STATUS, code=422), until=200.0)
    observed: list[list[str]] = []

    def look(simulation: Simulation) -> None:
        observed.extend([point["targetRef"]["name"] for point in item["endpoints"]] for item in slices_of(simulation))

    story = run_story(tmp_path, (190, look), adapters=one(), duration="5m")
    assert [len(pods) for pods in observed] == [1]
    assert story.adapter()["status"]["phase"] == "Running"
    first = next(line.t for line in story.status_lines() if line.phase)
    assert 200 <= first <= 231


def test_a_silent_watch_is_noticed_and_dead_pods_are_withdrawn(tmp_path: Path) -> None:
    """A firewall has dropped the connections without closing them: no error, no event, no bookmark."""
    freeze = {"kind": "watch-freeze", "from": "130s", "until": "20m"}
    kill = {"kind": "pod-kill", "pods": {"count": 1, "of": "qwen"}, "at": "140s"}
    story = run_story(tmp_path, adapters=[adapters(1, replicas=None)], faults=[freeze, kill], duration="11m")
    assert story.violations == []
    assert story.published() == story.holders()
    assert len(story.published()) == 3
    assert len([line for line in story.lines if isinstance(line, LogLine) and "watch is silent" in line.text]) >= 5


def refuse_statuses(
    monkeypatch: pytest.MonkeyPatch, error: ClientError, *, since: float = 0.0, until: float = inf
) -> None:
    """Let the API server refuse each status from one time until another."""
    honest = StoreClient.patch

    async def patch(self: StoreClient, *args: Any, subresource: str = "", **options: Any) -> Any:
        if subresource == "status" and since <= asyncio.get_running_loop().time() < until:
            raise error
        return await honest(self, *args, subresource=subresource, **options)

    monkeypatch.setattr(StoreClient, "patch", patch)


def test_a_label_that_names_no_container_is_said_on_the_object(tmp_path: Path) -> None:
    story = run_story(
        tmp_path,
        (20, lambda simulation: _label_pods(simulation, {"model.aibrix.ai/engine-container": "engine"})),
        objects=[deployment(1)],
        adapters=one(),
        duration="2m",
    )
    _, reason, message = story.conditions()["Ready"]
    assert reason == "InvalidPodLabel"
    assert "no container 'engine'; the pod has vllm-openai" in message


def _label_pods(simulation: Simulation, labels: dict[str, str]) -> None:
    for pod in simulation.store.list("pods", namespace="default").items:
        simulation.store.patch("pods", "default", pod["metadata"]["name"], {"metadata": {"labels": labels}})


def test_another_pod_of_the_same_name_is_published_when_its_own_engine_has_the_adapter(tmp_path: Path) -> None:
    """A StatefulSet gives a name to one pod after the other."""
    manifest = deployment()["spec"]["template"] | {"apiVersion": "v1", "kind": "Pod"}
    pod = {**manifest, "metadata": {**manifest["metadata"], "name": "llm-0", "namespace": "default"}}

    def replaced(simulation: Simulation) -> None:
        simulation.store.delete("pods", "default", "llm-0", grace_period=0)
        simulation.store.create("pods", pod)

    story = run_story(
        tmp_path,
        (5, lambda simulation: simulation.store.create("pods", pod)),
        (100, replaced),
        objects=[],
        adapters=one(),
        duration="3m",
    )
    assert len(story.sent("load")) == 2
    assert story.published() == story.holders() == ["llm-0"]
    assert story.violations == []


@pytest.mark.parametrize("name", ["qwen", "base"])
def test_an_adapter_with_the_name_of_a_base_model_is_refused_before_any_load(name: str, tmp_path: Path) -> None:
    """Both names count: the model's own, and that under which it is served."""
    workload, pod = template(1)
    command = pod["spec"]["containers"][0]["command"]
    command[command.index("Qwen/Qwen")] = "base"
    named = adapters(1, name=name, replicas=1, spec={"artifactURL": "huggingface://acme/other"})
    story = run_story(tmp_path, objects=[workload], adapters=[named], duration="2m")
    assert story.sent("load", name) == []
    status, reason, message = story.conditions(name)["Ready"]
    assert (status, reason) == ("False", "NameOfBaseModel")
    assert "create the adapter under another name" in message


def test_conditions_end_with_the_pods_that_they_were_true_of(tmp_path: Path) -> None:
    edits = [{"at": "2m", "of": "Deployment/qwen", "patch": {"spec": {"replicas": 0}}}]
    story = run_story(tmp_path, adapters=one(), edits=edits, duration="4m")
    conditions = story.conditions()
    assert {kind: conditions[kind][0] for kind in ("Scheduled", "Loaded", "Bound", "Ready", "FullyReplicated")} == (
        dict.fromkeys(("Scheduled", "Loaded", "Bound", "Ready", "FullyReplicated"), "False")
    )


def versions_go_back(simulation: Simulation) -> None:
    """Give all objects lower versions, as a control plane that was rebuilt from a backup does, and end all watches."""
    store = simulation.store
    lost = int(store.resource_version) // 2
    for objects in store._objects.values():
        for namespace, named in objects._objects.items():
            for name, obj in named.items():
                version = max(int(obj["metadata"]["resourceVersion"]) - lost, 1)
                objects._objects[namespace][name] = {
                    **obj,
                    "metadata": {**obj["metadata"], "resourceVersion": str(version)},
                }
        objects.changes.compact(0)
    store._revision -= lost
    faults = simulation.api_faults
    faults._fail_watches(faults.connection_lost())


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_control_plane_whose_versions_went_back_is_followed(replicas: int, tmp_path: Path) -> None:
    edits = [
        {"at": "2m10s", "of": "ModelAdapter/a-0", "patch": {"spec": {"replicas": 3}}},
        {"at": "3m", "of": "Deployment/qwen", "patch": {"spec": {"replicas": 2}}},
    ]
    story = run_story(
        tmp_path,
        (120, versions_go_back),
        adapters=[adapters(2, replicas=1)],
        edits=edits,
        controller={"replicas": replicas},
        duration="6m",
    )
    assert len(story.published("a-0")) == 2
    assert story.published("a-0") == story.holders("a-0")
    assert story.violations == []
