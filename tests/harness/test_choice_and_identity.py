"""Selection of pods, and the identity of adapters on engines: cases that other controllers got wrong."""

import asyncio
import copy
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.harness.story import ADAPTERS, engines, one, run_story
from tests.twin.worlds import MODEL, SELECTOR, adapters, deployment
from twin.sim.simulation import Simulation
from twin.trace.lines import AdapterLine, EngineLine, EventLine, PodLine, RequestLine

ENABLED = "adapter.model.aibrix.ai/enabled"
NAME = "model.aibrix.ai/name"


def another(name: str, labels: dict[str, str], replicas: int = 2) -> dict[str, Any]:
    """Return a Deployment like the default one, with its own labels."""
    made = copy.deepcopy(deployment(replicas))
    made["metadata"]["name"] = name
    made["spec"]["selector"] = {"matchLabels": labels}
    made["spec"]["template"]["metadata"]["labels"] = labels
    return made


def of(story: Any, workload: str) -> set[str]:
    """Return the names of the pods of a Deployment."""
    pods = [line for line in story.lines if isinstance(line, PodLine) and line.workload == workload]
    return {line.object.split("/")[1] for line in pods}


def test_a_selector_with_expressions_only_selects_matching_pods(tmp_path: Path) -> None:
    objects = [deployment(2), another("other", {NAME: "other", ENABLED: "true"})]
    selector = {"matchExpressions": [{"key": NAME, "operator": "In", "values": [MODEL]}]}
    story = run_story(
        tmp_path, objects=objects, adapters=[adapters(1, replicas=None, spec={"podSelector": selector})], duration="2m"
    )
    assert set(story.holders()) == of(story, MODEL)


def test_a_pod_that_is_not_enabled_gets_no_adapter(tmp_path: Path) -> None:
    selector = {"podSelector": {"matchLabels": {NAME: MODEL}}}
    objects = [another(MODEL, {NAME: MODEL})]
    story = run_story(tmp_path, objects=objects, adapters=one(**selector), duration="2m")
    assert story.sent("load") == []
    status, reason, message = story.conditions()["Scheduled"]
    assert (status, reason) == ("False", "NoMatchingPod")
    assert f"{ENABLED}=true" in message


def test_an_adapter_that_found_no_capacity_is_loaded_as_soon_as_another_leaves(tmp_path: Path) -> None:
    edit = {"at": "3m", "of": "ModelAdapter/a-0", "delete": True}
    many = [adapters(17, replicas=1, spec={"schedulerName": "bin-pack"})]
    story = run_story(tmp_path, pods=1, adapters=many, edits=[edit], duration="4m")
    waited = [line.t for line in story.lines if isinstance(line, RequestLine) and line.verb == "load" and line.t > 180]
    assert waited
    assert waited[0] < 181
    assert all(story.holders(f"a-{number}") for number in range(1, 17))


@pytest.mark.parametrize(("policy", "pods"), [("bin-pack", 1), ("least-adapters", 3)])
def test_scheduler_name_selects_the_policy(policy: str, pods: int, tmp_path: Path) -> None:
    made = deployment(3)
    made["spec"]["template"]["spec"]["containers"][0]["command"] += ["--max-loras", "4"]
    many = [adapters(3, replicas=1, arrive={"at": "30s"}, spec={"schedulerName": policy})]
    story = run_story(tmp_path, objects=[made], adapters=many, duration="2m")
    assert len({story.holders(f"a-{number}")[0] for number in range(3)}) == pods


def test_an_adapter_for_every_pod_waits_until_each_is_stable(tmp_path: Path) -> None:
    story = run_story(tmp_path, adapters=[adapters(1, replicas=None)], duration="2m")
    since = {line.object: line.ready_since for line in story.lines if isinstance(line, PodLine) and line.ready}
    waits = [request.t - (since[request.object] or 0.0) for request in story.sent("load")]
    assert len(waits) == 3
    assert all(5 <= wait < 6.1 for wait in waits), waits


def test_a_pod_that_was_unready_keeps_no_surplus_replica(tmp_path: Path) -> None:
    lost = []

    def unready(simulation: Simulation) -> None:
        (pod,) = simulation.store.get(ADAPTERS, "default", "a-0")["status"]["instances"]
        lost.append(pod)
        simulation.world.force_unready(f"default/{pod}", True)

    def ready(simulation: Simulation) -> None:
        simulation.world.force_unready(f"default/{lost[0]}", False)

    story = run_story(tmp_path, (120, unready), (240, ready), pods=2, adapters=one(), duration="6m")
    assert len(story.holders()) == 1
    assert story.holders() != lost
    assert story.published() == story.holders()
    assert story.violations == []


def test_a_pod_that_no_longer_matches_is_unloaded(tmp_path: Path) -> None:
    taken = []

    def relabel(simulation: Simulation) -> None:
        (pod,) = simulation.store.get(ADAPTERS, "default", "a-0")["status"]["instances"]
        taken.append(pod)
        simulation.store.patch("pods", "default", pod, {"metadata": {"labels": {ENABLED: "false"}}})

    story = run_story(tmp_path, (120, relabel), adapters=one(), duration="4m")
    assert taken[0] in story.held
    assert len(story.holders()) == 1
    assert story.holders() != taken
    assert story.violations == []


def test_adapters_loaded_by_others_are_not_unloaded(tmp_path: Path) -> None:
    def resolved(simulation: Simulation) -> None:
        for engine in engines(simulation):
            asyncio.get_running_loop().create_task(engine.load("stranger", "acme/stranger"))

    edits = [{"at": "4m", "of": "ModelAdapter/a-0", "delete": True}]
    story = run_story(tmp_path, (120, resolved), adapters=[adapters(2, replicas=None)], edits=edits, duration="6m")
    assert len(story.holders("stranger")) == 3
    assert story.holders("a-0") == []
    assert len(story.holders("a-1")) == 3


def test_after_an_unload_that_was_lost_old_weights_never_serve_the_new_object(tmp_path: Path) -> None:
    """Deleted while its engine is down until the unload is abandoned, then created with another artifact."""
    again: dict[str, Any] = {}

    def create(simulation: Simulation) -> None:
        template = simulation.scenario.adapters[0].manifest(0)
        again.update(copy.deepcopy(template))
        again["spec"]["artifactURL"] = "huggingface://acme/second"
        simulation.store.create(ADAPTERS, again, manager="kubectl")

    faults = [{"kind": "connection-refused", "from": "2m", "until": "7m"}]
    edits = [{"at": "2m30s", "of": "ModelAdapter/a-0", "delete": True}]
    story = run_story(tmp_path, (8 * 60, create), pods=1, adapters=one(), faults=faults, edits=edits, duration="12m")
    assert "UnloadAbandoned" in [reason for reason, _ in story.event_notes()]
    assert list(story.held.values()) == [{"a-0": "acme/second"}]
    root = ""
    for line in story.lines:
        match line:
            case EngineLine(event="loaded"):
                root = line.root
            case AdapterLine(artifact="huggingface://acme/second") if line.instances:
                assert root == "acme/second"


def test_pods_with_names_too_long_for_annotations_are_retried_like_others(tmp_path: Path) -> None:
    long = "a-base-model-whose-deployment-has-quite-a-long-name"
    refused = {"kind": "connection-refused", "from": "0s", "until": "50s"}
    objects = [another(long, SELECTOR["matchLabels"], 1)]
    story = run_story(tmp_path, objects=objects, adapters=one(), faults=[refused], duration="3m")
    times = [request.t for request in story.sent("load")]
    assert [round(later - sooner) for sooner, later in pairwise(times)] == [5, 10, 20]
    assert story.adapter()["status"]["phase"] == "Running"


def test_the_port_in_a_pods_label_is_used_and_published(tmp_path: Path) -> None:
    made = another(MODEL, SELECTOR["matchLabels"], 1)
    template = made["spec"]["template"]
    template["metadata"]["labels"] = SELECTOR["matchLabels"] | {"model.aibrix.ai/port": "9000"}
    (container,) = template["spec"]["containers"]
    container["command"] += ["--port", "9000"]
    container["readinessProbe"]["httpGet"]["port"] = 9000
    story = run_story(tmp_path, objects=[made], adapters=one(), duration="2m")
    assert story.adapter()["status"]["phase"] == "Running"
    service = story.simulation.store.get("services", "default", "a-0")
    assert [port["port"] for port in service["spec"]["ports"]] == [9000]
    slices = story.simulation.store.list("endpointslices.discovery.k8s.io", namespace="default").items
    assert [port["port"] for item in slices for port in item["ports"]] == [9000]


def test_an_adapter_whose_weights_were_evicted_is_unloaded_at_once(tmp_path: Path) -> None:
    made = deployment(1)
    (container,) = made["spec"]["template"]["spec"]["containers"]
    container["image"] = "vllm/vllm-openai:v0.28.0"
    container["command"] = [word if word != "16" else "1" for word in container["command"]]
    edits = [{"at": "2m", "of": "ModelAdapter/a-0", "delete": True}]
    many = [adapters(2, replicas=1, arrive={"every": "20s", "from": "20s"})]
    story = run_story(tmp_path, objects=[made], adapters=many, edits=edits, duration="4m")
    answers = [line.status for line in story.lines if isinstance(line, RequestLine) and line.event == "done"]
    assert answers == [200, 200, 200], "two loads and an unload"
    assert story.holders("a-0") == []
    assert story.status_lines()[-1].event == "deleted"


@pytest.mark.parametrize("pods", [1, 4])
def test_a_deletion_with_hanging_engines_takes_as_long_with_many_as_with_one(pods: int, tmp_path: Path) -> None:
    faults = [{"kind": "timeout", "from": "2m"}]
    edits = [{"at": "3m", "of": "ModelAdapter/a-0", "delete": True}]
    story = run_story(
        tmp_path, pods=pods, adapters=[adapters(1, replicas=None)], faults=faults, edits=edits, duration="12m"
    )
    last = story.status_lines()[-1]
    assert last.event == "deleted"
    assert last.t - 180 == pytest.approx(6 * 30 + 155, abs=1)  # six tries of list_timeout, and the waits in between


def test_a_changed_selector_moves_the_adapter_to_other_pods(tmp_path: Path) -> None:
    labels = {NAME: "other", ENABLED: "true"}
    objects = [deployment(2), another("other", labels)]
    edits = [{"at": "3m", "of": "ModelAdapter/a-0", "patch": {"spec": {"podSelector": {"matchLabels": labels}}}}]
    story = run_story(tmp_path, objects=objects, adapters=[adapters(1)], edits=edits, duration="5m")
    assert set(story.holders()) == of(story, "other")
    assert story.published() == story.holders()
    assert story.violations == []


def test_an_engine_that_drops_an_adapter_is_detected_by_the_audit(tmp_path: Path) -> None:
    def forget(simulation: Simulation) -> None:
        (engine,) = engines(simulation)
        asyncio.get_running_loop().create_task(engine.unload("a-0"))

    story = run_story(tmp_path, (31.2, forget), pods=1, adapters=one(), duration="3m")
    changes = [(line.event, line.t) for line in story.lines if isinstance(line, EngineLine) and line.adapter]
    assert [event for event, _ in changes] == ["loaded", "unloaded", "loaded"]
    assert changes[2][1] - changes[1][1] < 60 + 2
    assert story.violations == []


def test_pods_of_another_namespace_get_no_adapter(tmp_path: Path) -> None:
    elsewhere = deployment(2)
    elsewhere["metadata"]["namespace"] = "elsewhere"
    story = run_story(tmp_path, objects=[elsewhere], adapters=one(), duration="2m")
    assert story.sent("load") == []
    assert story.conditions()["Scheduled"][1] == "NoMatchingPod"


def test_pods_that_are_gone_do_not_hold_a_deletion(tmp_path: Path) -> None:
    edits = [
        {"at": "2m", "of": f"Deployment/{MODEL}", "patch": {"spec": {"replicas": 0}}},
        {"at": "4m", "of": "ModelAdapter/a-0", "delete": True},
    ]
    story = run_story(tmp_path, adapters=[adapters(1, replicas=None)], edits=edits, duration="5m")
    assert story.status_lines()[-1].event == "deleted"
    assert story.status_lines()[-1].t < 241


def test_another_artifact_after_a_pause_is_warned_of_like_one_without(tmp_path: Path) -> None:
    other = {"replicas": 1, "artifactURL": "huggingface://acme/second"}
    edits = [
        {"at": "2m", "of": "ModelAdapter/a-0", "patch": {"spec": {"replicas": 0}}},
        {"at": "3m", "of": "ModelAdapter/a-0", "patch": {"spec": other}},
    ]
    objects = [deployment(1, image="vllm/vllm-openai:v0.30.0")]
    story = run_story(tmp_path, objects=objects, adapters=[adapters(1, replicas=1)], edits=edits, duration="4m")
    assert "StalePrefixCache" in {line.reason for line in story.lines if isinstance(line, EventLine)}
