"""Status, conditions, endpoints and Events are correct in situations where other controllers report wrong ones."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.harness.story import Action, engines, one, run_story
from tests.twin.worlds import MODEL, adapters, deployment
from twin.sim.simulation import Simulation
from twin.trace.lines import PodLine, SliceLine


def scaled(replicas: int) -> list[dict[str, Any]]:
    """Scale the base model's Deployment at three minutes."""
    return [{"at": "3m", "of": f"Deployment/{MODEL}", "patch": {"spec": {"replicas": replicas}}}]


def forget(simulation: Simulation) -> None:
    """Let the first engine that has `a-0` drop it silently."""
    engine = next(engine for engine in engines(simulation) if "a-0" in engine.adapters)
    asyncio.get_running_loop().create_task(engine.unload("a-0"))


@pytest.mark.parametrize("replicas", [None, 1, 2])
def test_without_pods_nothing_is_running_ready_or_published(replicas: int | None, tmp_path: Path) -> None:
    story = run_story(tmp_path, adapters=[adapters(1, replicas=replicas)], edits=scaled(0))
    status = story.adapter()["status"]
    assert status["phase"] == "Pending"
    assert (status.get("readyReplicas", 0), status.get("instances", [])) == (0, [])
    assert story.conditions()["Ready"][:2] == ("False", "NoMatchingPod")
    assert story.published() == []
    assert story.violations == []


def test_a_replacement_that_cannot_load_leaves_no_stale_endpoint(tmp_path: Path) -> None:
    faults = [
        {"kind": "connection-refused", "from": "2m50s"},
        {"kind": "pod-kill", "pods": {"count": 1}, "at": "3m"},
    ]
    story = run_story(tmp_path, pods=1, adapters=one(), faults=faults, duration="5m")
    assert story.published() == []
    assert story.adapter()["status"]["phase"] == "Loading"
    status, reason, message = story.conditions()["Loaded"]
    assert status == "Unknown"
    assert "connection refused" in message, reason


def test_an_engine_that_lost_the_adapter_and_cannot_reload_it_is_unpublished(tmp_path: Path) -> None:
    broken = {"kind": "invalid-adapter", "adapters": ["a-0"], "from": "2m", "until": "20m"}
    story = run_story(tmp_path, (180, forget), pods=1, adapters=one(), faults=[broken], duration="5m")
    assert story.published() == []
    assert story.adapter()["status"]["phase"] == "Failed"
    assert story.conditions()["Ready"][0] == "False"
    assert story.violations == []


def test_one_pod_that_cannot_load_does_not_block_the_repair_of_others(tmp_path: Path) -> None:
    refused = {"kind": "connection-refused", "pods": {"count": 1}, "from": "0s"}
    story = run_story(tmp_path, (180, forget), adapters=[adapters(1, replicas=None)], faults=[refused], duration="5m")
    assert len(story.holders()) == 2
    assert story.published() == story.holders()


def test_error_conditions_are_reset_when_the_problem_is_solved(tmp_path: Path) -> None:
    refused = {"kind": "connection-refused", "from": "0s", "until": "70s"}
    story = run_story(tmp_path, adapters=[adapters(1)], faults=[refused], duration="4m")
    result = story.conditions()
    assert {kind: status for kind, (status, _, _) in result.items()} == {
        "Initialized": "True",
        "Scheduled": "True",
        "Loaded": "True",
        "Bound": "True",
        "Ready": "True",
        "Progressing": "False",
        "FullyReplicated": "True",
    }
    assert result["Progressing"][1:] == ("Complete", "2 of 2 replicas serve")
    assert not any("refused" in message for _, _, message in result.values())


def test_missing_replicas_are_reported_with_the_cause(tmp_path: Path) -> None:
    refused = {"kind": "connection-refused", "pods": {"count": 1}, "from": "0s"}
    story = run_story(tmp_path, pods=2, adapters=[adapters(1)], faults=[refused], duration="90s")
    status, reason, message = story.conditions()["FullyReplicated"]
    assert (status, message) == ("False", "1 of 2 replicas serve")
    assert reason == "ConnectError"
    assert story.conditions()["Ready"][0] == "True"
    assert "attempts on" in story.conditions()["Progressing"][2]


def test_an_announcement_whose_answer_is_lost_uses_up_no_attempt(tmp_path: Path) -> None:
    lost = {"kind": "api-error", "probability": 1.0, "after": True, "from": "29s", "until": "30500ms"}
    story = run_story(tmp_path, pods=1, adapters=one(), faults=[lost], duration="2m")
    announced = [line for line in story.status_lines() if line.attempts]
    first_load = story.sent("load")[0]
    assert [line for line in announced if line.t < first_load.t - 0.1], "one was stored, and its answer lost"
    assert {count for line in announced for count in line.attempts.values()} == {0}


def test_an_attempt_from_before_a_restart_is_not_called_failed(tmp_path: Path) -> None:
    faults = [
        {"kind": "connection-refused", "from": "0s"},
        {"kind": "controller-crash", "at": "33s", "restart_after": "500ms"},
    ]
    story = run_story(tmp_path, pods=1, adapters=one(), faults=faults, duration="34500ms")
    message = story.conditions()["Progressing"][2]
    assert "1 of 6 attempts on" in message
    assert message.endswith("are used, the results of 1 are not known")


def test_retries_are_in_the_annotations_until_the_load_succeeds(tmp_path: Path) -> None:
    refused = {"kind": "connection-refused", "from": "0s", "until": "70s"}
    story = run_story(tmp_path, pods=1, adapters=one(), faults=[refused], duration="4m")
    counts = [next(iter(line.attempts.values()), None) for line in story.status_lines()]
    observed = list(dict.fromkeys(count for count in counts if count is not None))
    assert observed == [0, 1, 2, 3, 4]
    left = [key for key in story.adapter()["metadata"]["annotations"] if "retry" in key]
    assert left == []


def test_events_report_the_selection_the_retries_the_switch_and_the_load(tmp_path: Path) -> None:
    first = run_story(tmp_path, pods=2, adapters=one(), duration="1m").sent("load")[0].object.split("/")[1]
    refused = {"kind": "connection-refused", "pods": {"names": [first]}, "from": "0s"}
    story = run_story(tmp_path, pods=2, adapters=one(), faults=[refused], duration="6m")
    other = next(pod for pod in story.held if pod != first)
    selected = "ModelAdapter default/a-0 has selected 1 pods for scheduling: "
    assert [event for event in story.event_notes() if event[0] != "Switched"] == [
        ("Scheduled", f"{selected}[{first}]"),
        ("MaxRetriesExceeded", f"Max retries exceeded for pod {first}: connection refused"),
        ("Scheduled", f"{selected}[{other}]"),
        ("Loaded", f"Successfully loaded adapter on pod {other}"),
    ]


def test_an_unready_pod_is_removed_from_status_and_slices_at_once(tmp_path: Path) -> None:
    def action(simulation: Simulation) -> None:
        simulation.world.force_unready(simulation.world.running_pods()[0], True)

    story = run_story(tmp_path, (180, action), adapters=[adapters(1, replicas=None)], duration="4m")
    lost = next(ln for ln in story.lines if isinstance(ln, PodLine) and ln.t >= 180 and not ln.ready)
    pod = lost.object.split("/")[1]
    withdrawn = next(ln.t for ln in story.lines if isinstance(ln, SliceLine) and ln.t > 179 and pod not in ln.pods)
    named = next(line.t for line in story.status_lines() if line.t > 179 and pod not in line.instances)
    assert max(withdrawn, named) - lost.t < 1


def test_annotations_of_a_deleted_pod_are_removed(tmp_path: Path) -> None:
    faults = [
        {"kind": "connection-refused", "from": "0s", "until": "2m"},
        {"kind": "pod-kill", "pods": {"count": 1}, "at": "1m30s"},
    ]
    story = run_story(tmp_path, pods=1, adapters=one(), faults=faults, duration="4m")
    living = set(story.held)
    annotations = story.adapter()["metadata"]["annotations"]
    assert story.adapter()["status"]["phase"] == "Running"
    assert {key.partition(".model.aibrix.ai/")[2].partition(".")[2] for key in annotations if "retry" in key} <= living
    assert annotations["adapter.model.aibrix.ai/scheduled-pods"] in living


def test_the_documented_command_finds_service_and_slices(tmp_path: Path) -> None:
    story = run_story(tmp_path, adapters=one(), duration="2m")
    store = story.simulation.store
    for resource in ("services", "endpointslices.discovery.k8s.io"):
        result = store.list(resource, namespace="default", label_selector="model.aibrix.ai/name=a-0").items
        assert [item["metadata"]["name"][:3] for item in result] == ["a-0"], resource


def test_a_base_model_whose_name_is_no_label_is_named_in_an_annotation(tmp_path: Path) -> None:
    story = run_story(tmp_path, adapters=one(baseModel="Qwen/Qwen2.5-Coder-1.5B"), duration="2m")
    assert story.adapter()["status"]["phase"] == "Running"
    service = story.simulation.store.get("services", "default", "a-0")
    assert service["metadata"]["annotations"] == {"model.aibrix.ai/base-model": "Qwen/Qwen2.5-Coder-1.5B"}


def test_deleting_an_adapter_deletes_its_service_and_slices(tmp_path: Path) -> None:
    leaving = [adapters(1, leave={"after": "2m"})]
    story = run_story(tmp_path, adapters=leaving, duration="5m")
    store = story.simulation.store
    assert store.list("services", namespace="default", label_selector="model.aibrix.ai/name=a-0").items == []
    assert story.published() == []


@pytest.mark.parametrize("address", [{}, {"clusterIP": "None"}])
def test_a_foreign_service_is_not_changed_and_reported(address: dict[str, str], tmp_path: Path) -> None:
    """Once it is deleted, after four minutes, the adapter is served."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "a-0", "namespace": "default"},
        "spec": {"selector": {"app": "shop"}, "ports": [{"name": "http", "port": 80}], **address},
    }
    observed: list[Any] = []

    def look(simulation: Simulation) -> None:
        observed.append(simulation.store.get("services", "default", "a-0"))

    edits = [{"at": "4m", "of": "Service/a-0", "delete": True}]
    objects = [deployment(2), service]
    story = run_story(tmp_path, (239, look), objects=objects, adapters=one(), edits=edits, duration="6m")
    assert "ownerReferences" not in observed[0]["metadata"]
    assert [port["port"] for port in observed[0]["spec"]["ports"]] == [80]
    early = [line for line in story.status_lines() if line.t < 239]
    assert early[-1].phase == "Failed"
    assert "delete it, or rename the adapter" in story.event_notes()[0][1]
    assert [reason for reason, _ in story.event_notes()] == ["ServiceNameTaken", "Scheduled", "Loaded"]
    assert min(request.t for request in story.sent("load")) > 240
    assert story.adapter()["status"]["phase"] == "Running"


def test_a_changed_service_or_slice_is_restored(tmp_path: Path) -> None:
    slices = "endpointslices.discovery.k8s.io"

    def spoil(simulation: Simulation) -> None:
        simulation.store.delete("services", "default", "a-0")
        (item,) = simulation.store.list(slices, namespace="default").items
        simulation.store.patch(slices, "default", item["metadata"]["name"], {"endpoints": []})

    story = run_story(tmp_path, (120, spoil), adapters=one(), duration="125s")
    assert story.simulation.store.get("services", "default", "a-0")["spec"]["clusterIP"] == "None"
    assert story.published() == story.holders()
    assert len(story.holders()) == 1


def restart_process(simulation: Simulation) -> None:
    """Let the first engine that has `a-0` lose all adapters, as if its process had restarted in its container."""
    engine = next(engine for engine in engines(simulation) if "a-0" in engine.adapters)
    for name in list(engine.adapters):
        asyncio.get_running_loop().create_task(engine.unload(name))


def test_an_engine_that_restarted_in_its_container_is_asked_when_its_pod_is_ready_again(tmp_path: Path) -> None:
    def flap(*, unready: bool) -> Action:
        return lambda simulation: simulation.world.force_unready(simulation.world.running_pods()[0], unready)

    actions = [(180.0, flap(unready=True)), (181.0, restart_process), (183.0, flap(unready=False))]
    story = run_story(tmp_path, *actions, pods=1, adapters=one(), duration="195s")
    assert len(story.holders()) == 1
    assert story.published() == story.holders()
    claimed = [line for line in story.status_lines() if 183 < line.t < 188 and line.instances]
    assert claimed == [], "it is not published before it is loaded again"
    assert story.violations == []


def test_an_engine_whose_totals_fall_is_asked_what_it_holds(tmp_path: Path) -> None:
    def lose(simulation: Simulation) -> None:
        engine = next(engine for engine in engines(simulation) if "a-0" in engine.adapters)
        engine.runner.metrics.generation_tokens = engine.runner.metrics.prompt_tokens = 0
        restart_process(simulation)

    story = run_story(
        tmp_path,
        (190.0, lose),
        pods=1,
        adapters=one(schedulerName="least-latency"),
        traffic={"rate": "2/s", "from": "1m"},
        duration="212s",
    )
    assert len(story.holders()) == 1


@pytest.mark.parametrize(
    "line",
    [
        "process_start_time_seconds 1.8e9",
        'http_requests_total{handler="/v1/completions",method="POST",status="4xx"} 3.0',
    ],
    ids=["a later start of its process", "requests that it refused"],
)
def test_an_engine_whose_metrics_hint_at_lost_adapters_is_asked_what_it_holds(line: str, tmp_path: Path) -> None:
    def extend_page(simulation: Simulation, line: str) -> None:
        (engine,) = engines(simulation)
        page = type(engine).metrics_page
        engine.metrics_page = lambda: f"{page(engine)}{line}\n"  # type: ignore[method-assign]

    def lose(simulation: Simulation) -> None:
        extend_page(simulation, line)
        restart_process(simulation)

    story = run_story(
        tmp_path,
        (100.0, lambda simulation: extend_page(simulation, "process_start_time_seconds 1.7e9")),
        (190.0, lose),
        pods=1,
        adapters=one(schedulerName="least-latency"),
        duration="212s",
    )
    assert len(story.holders()) == 1


def test_an_engine_that_was_unreachable_at_an_audit_is_asked_again_within_seconds(tmp_path: Path) -> None:
    settings = {"audit_interval": "5m"}
    refused = {"kind": "connection-refused", "from": "290s", "until": "320s"}
    story = run_story(
        tmp_path, (310.0, restart_process), pods=1, adapters=one(), faults=[refused], controller=settings, duration="7m"
    )
    assert len(story.holders()) == 1
    assert max(request.t for request in story.sent("load")) < 340
