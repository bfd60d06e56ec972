"""Coming from AIBrix's controller and going back: adapters that serve go on serving, and no copy is left behind."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from controller.runtime.leaderelection import LeaderElector
from tests.harness.story import ADAPTERS, SLICES, engines, one, run_story
from tests.twin.worlds import SELECTOR
from twin.sim.simulation import Simulation
from twin.trace.lines import ControllerLine

FINALIZER = "adapter.model.aibrix.ai/finalizer"
CRDS = "customresourcedefinitions.apiextensions.k8s.io"
SERVICE_NAME = "kubernetes.io/service-name"
PATH = "acme/a-0"


def pod_names(simulation: Simulation) -> list[str]:
    return sorted(item["metadata"]["name"] for item in simulation.store.list("pods", namespace="default").items)


def load_copies(simulation: Simulation, count: int, path: str = PATH) -> None:
    """Load the adapter into the first engines, by name of their pods, as another client."""
    for engine in engines(simulation)[:count]:
        asyncio.get_running_loop().create_task(engine.load("a-0", path))


def as_aibrix_leaves_it(simulation: Simulation, *, instances: int = 1, replicas: int | None = 1) -> None:
    """Create an adapter with the status, Service and slice that AIBrix's controller (0.7) writes."""
    store = simulation.store
    spec: dict[str, Any] = {"baseModel": "qwen", "podSelector": SELECTOR, "artifactURL": f"huggingface://{PATH}"}
    metadata = {"name": "a-0", "namespace": "default", "finalizers": [FINALIZER]}
    if replicas is not None:
        spec["replicas"] = replicas
    stored = store.create(ADAPTERS, {"metadata": metadata, "spec": spec})
    pods = pod_names(simulation)[:instances]
    time = "2026-01-01T00:00:00Z"
    condition = {"type": "Initialized", "status": "Unknown", "reason": "ModelAdapterPending", "message": "Starting"}
    status = {
        "phase": "Running" if instances else "Failed",
        "instances": pods,
        "conditions": [{**condition, "lastTransitionTime": time}],
    }
    store.patch(ADAPTERS, "default", "a-0", {"status": status}, subresource="status")
    owner = {"apiVersion": "model.aibrix.ai/v1alpha1", "kind": "ModelAdapter", "name": "a-0"}
    owners = [{**owner, "uid": stored["metadata"]["uid"], "controller": True, "blockOwnerDeletion": True}]
    port = {"name": "http", "port": 8000, "protocol": "TCP"}
    labels = {"adapter.model.aibrix.ai/name": "a-0", "model.aibrix.ai/name": "qwen"}
    service = {"metadata": {"name": "a-0", "namespace": "default", "labels": labels, "ownerReferences": owners}}
    store.create(
        "services", {**service, "spec": {"clusterIP": "None", "ports": [port], "publishNotReadyAddresses": True}}
    )
    addresses = [store.get("pods", "default", pod)["status"]["podIP"] for pod in pods]
    meta = {"name": "a-0", "namespace": "default", "labels": {SERVICE_NAME: "a-0"}, "ownerReferences": owners}
    points = [{"addresses": [address]} for address in addresses]
    store.create(SLICES, {"metadata": meta, "addressType": "IPv4", "endpoints": points, "ports": [port]})


def slice_names(simulation: Simulation) -> list[str]:
    items = simulation.store.list(SLICES, namespace="default", label_selector=f"{SERVICE_NAME}=a-0").items
    return [item["metadata"]["name"] for item in items]


@pytest.mark.parametrize("replicas", [1, None])
def test_a_running_adapter_of_aibrix_is_taken_over_without_a_load(replicas: int | None, tmp_path: Path) -> None:
    held = 1 if replicas else 3
    story = run_story(
        tmp_path,
        (30, lambda simulation: load_copies(simulation, held)),
        (40, lambda simulation: as_aibrix_leaves_it(simulation, instances=held, replicas=replicas)),
        adapters=[],
        duration="3m",
    )
    pods = pod_names(story.simulation)[:held]
    assert story.sent("load") == story.sent("unload") == []
    assert {line.phase for line in story.status_lines()} == {"", "Running"}
    assert story.published() == story.holders() == pods
    assert story.adapter()["status"]["instances"] == pods
    assert "a-0" not in slice_names(story.simulation)
    assert "TakenOver" in [reason for reason, _ in story.event_notes()]
    assert story.violations == []


def test_copies_that_aibrix_left_behind_are_unloaded(tmp_path: Path) -> None:
    story = run_story(
        tmp_path,
        (30, lambda simulation: load_copies(simulation, 3)),
        (40, as_aibrix_leaves_it),
        adapters=[],
        duration="3m",
    )
    assert story.sent("load") == []
    assert len(story.sent("unload")) == 2
    assert story.holders() == story.published() == pod_names(story.simulation)[:1]


def test_endpoints_of_pods_that_are_gone_go_with_their_slice(tmp_path: Path) -> None:
    def with_stale_slice(simulation: Simulation) -> None:
        as_aibrix_leaves_it(simulation, instances=0)
        simulation.store.patch(SLICES, "default", "a-0", {"endpoints": [{"addresses": ["10.9.9.9"]}]})

    story = run_story(tmp_path, (40, with_stale_slice), adapters=[], duration="3m")
    assert story.adapter()["status"]["phase"] == "Running"
    assert len(story.published()) == len(story.sent("load")) == 1
    assert "a-0" not in slice_names(story.simulation)


def test_a_deleted_adapter_of_aibrix_leaves_no_copy(tmp_path: Path) -> None:
    story = run_story(
        tmp_path,
        (30, lambda simulation: load_copies(simulation, 3)),
        (40, as_aibrix_leaves_it),
        (40.5, lambda simulation: simulation.store.delete(ADAPTERS, "default", "a-0")),
        adapters=[],
        duration="3m",
    )
    assert story.holders() == []
    assert story.simulation.store.list(ADAPTERS).items == []


def test_what_aibrix_moved_after_going_back_is_taken_over_where_it_is(tmp_path: Path) -> None:
    """Another operator that runs at the same time looks the same, so that a warning says what to do."""

    def moved_by_aibrix(simulation: Simulation) -> None:
        (current,) = simulation.store.get(ADAPTERS, "default", "a-0")["status"]["instances"]
        other = next(pod for pod in pod_names(simulation) if pod != current)
        host = simulation.world.host_of(f"default/{other}")
        assert host is not None
        assert host.engine is not None
        asyncio.get_running_loop().create_task(host.engine.load("a-0", PATH))
        simulation.store.patch(ADAPTERS, "default", "a-0", {"status": {"instances": [other]}}, subresource="status")

    story = run_story(tmp_path, (100, moved_by_aibrix), adapters=one(), duration="4m")
    first = story.sent("load")[0].object.removeprefix("default/")
    (holder,) = story.holders()
    assert holder != first
    assert story.published() == story.adapter()["status"]["instances"] == [holder]
    assert any("stop the other operator" in note for reason, note in story.event_notes() if reason == "TakenOver")


def test_two_operators_without_leader_election_repeat_requests_and_serve_nevertheless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each overwrites the other's status, and sends the load again that it does not know of; an event says so."""

    async def lead_at_once(self: LeaderElector, work: Any, stopping: Any) -> None:
        await work()

    monkeypatch.setattr(LeaderElector, "lead", lead_at_once)
    story = run_story(tmp_path, adapters=one(replicas=2), controller={"replicas": 2}, duration="130s")
    assert story.published() == story.holders() == sorted(story.adapter()["status"]["instances"])
    assert len(story.published()) == 2
    assert len(story.sent("load")) <= 4
    warnings = [note for reason, note in story.event_notes() if reason == "AnotherOperator"]
    assert 1 <= len(warnings) <= 2, "each operator warns once in ten minutes"
    assert all("Stop one of them" in note for note in warnings)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "controller-crash", "at": "46s", "restart_after": "30s"},
        {"kind": "leader-loss", "at": "46s"},
    ],
    ids=["restarted", "handed over"],
)
def test_an_operator_and_its_successor_are_not_two_operators(fault: dict[str, Any], tmp_path: Path) -> None:
    edits = [
        {"at": f"{at}s", "of": "ModelAdapter/a-0", "patch": {"spec": {"replicas": replicas}}}
        for at, replicas in ((45, 2), (80, 3), (100, 1))
    ]
    story = run_story(
        tmp_path, adapters=one(), edits=edits, faults=[fault], controller={"replicas": 2}, duration="130s"
    )
    leaders = {line.by for line in story.lines if isinstance(line, ControllerLine) and line.event == "leading"}
    assert len(leaders) == 2
    assert "AnotherOperator" not in [reason for reason, _ in story.event_notes()]
    assert "adapter.model.aibrix.ai/written-by" in story.adapter()["metadata"]["annotations"]
    assert story.violations == []


def test_an_adapter_whose_name_no_service_can_have_is_reported_and_can_be_deleted(tmp_path: Path) -> None:
    def stored_under_aibrix_definition(simulation: Simulation) -> None:
        own = simulation.store.get(CRDS, "", ADAPTERS)
        lax = {**own, "spec": {**own["spec"], "versions": [without_rules(own["spec"]["versions"][0])]}}
        simulation.store.register_crd(lax)
        spec = {"podSelector": SELECTOR, "artifactURL": f"huggingface://{PATH}", "replicas": 1}
        for name in ("a.b", "7b-lora"):
            metadata = {"name": name, "namespace": "default", "finalizers": [FINALIZER]}
            simulation.store.create(ADAPTERS, {"metadata": metadata, "spec": spec})
        simulation.store.register_crd({**own, "metadata": {"name": ADAPTERS}})

    def delete_one(simulation: Simulation) -> None:
        reasons = {c["reason"] for c in simulation.store.get(ADAPTERS, "default", "a.b")["status"]["conditions"]}
        assert "InvalidName" in reasons
        simulation.store.delete(ADAPTERS, "default", "a.b")

    story = run_story(tmp_path, (40, stored_under_aibrix_definition), (100, delete_one), adapters=[], duration="3m")
    assert [item["metadata"]["name"] for item in story.simulation.store.list(ADAPTERS).items] == ["7b-lora"]
    assert story.adapter("7b-lora")["status"]["phase"] == "Running"


def without_rules(version: dict[str, Any]) -> dict[str, Any]:
    schema = version["schema"]["openAPIV3Schema"]
    rest = {key: value for key, value in schema.items() if key != "x-kubernetes-validations"}
    return {**version, "schema": {"openAPIV3Schema": rest}}
