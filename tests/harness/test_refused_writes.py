"""Writes that the API server refuses: what is decided is on the object before it is done, and the rest goes on."""

from pathlib import Path
from typing import Any

import pytest

from controller.client.interface import Forbidden
from tests.harness.story import SLICES, Story, one, run_story
from tests.harness.test_other_peoples_clusters import refuse_statuses
from tests.harness.test_takeover import as_aibrix_leaves_it, load_copies, slice_names
from tests.twin.worlds import adapters
from twin.sim.simulation import Simulation
from twin.trace.lines import SliceLine

WORDS = "this change is not allowed by policy"


def notes(story: Story, reason: str) -> list[str]:
    return [note for found, note in story.event_notes() if found == reason]


@pytest.mark.parametrize(
    "spec", [{"replicas": 1}, {"artifactURL": "huggingface://acme/second"}], ids=["fewer", "another artifact"]
)
def test_no_engine_is_unloaded_while_the_status_names_its_pod(
    spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_statuses(monkeypatch, Forbidden(WORDS, code=403), since=80.0, until=130.0)
    edit = {"at": "90s", "of": "ModelAdapter/a-0", "patch": {"spec": spec}}
    story = run_story(
        tmp_path,
        adapters=[adapters(1, replicas=2, arrive={"at": "20s"})],
        edits=[edit],
        duration="200s",
    )
    assert min(line.t for line in story.sent("unload")) >= 130
    shown = [line.t for line in story.lines if isinstance(line, SliceLine) and line.t > 90 and len(line.pods) == 1]
    assert (min(shown) < 91) == ("replicas" in spec), "a pod that is not needed is withdrawn at once"
    assert any(WORDS in note for note in notes(story, "FailedUpdate"))
    assert story.published() == story.holders() == sorted(story.adapter()["status"]["instances"])
    assert {found.invariant for found in story.violations} <= {3, 11}, "the copy stays, and the status names it"


def test_slices_that_cannot_be_adopted_are_told_and_tried_again_also_after_a_restart(tmp_path: Path) -> None:
    """A policy keeps the slice that AIBrix's controller has left as it is; the operator publishes in its own."""
    seen: list[tuple[list[str], str, str]] = []

    def look(simulation: Any) -> None:
        status = simulation.store.get("modeladapters.model.aibrix.ai", "default", "a-0")["status"]
        (found,) = (item for item in status["conditions"] if item["type"] == "SlicesAdopted")
        seen.append((slice_names(simulation), found["status"], found["message"]))

    story = run_story(
        tmp_path,
        (30, lambda simulation: load_copies(simulation, 1)),
        (40, as_aibrix_leaves_it),
        (90, look),
        adapters=[],
        faults=[
            {"kind": "api-forbidden", "because": "admission", "verbs": ["patch"], "resources": ["endpointslices"]}
            | {"from": "35s", "until": "2m"},
            {"kind": "controller-crash", "at": "60s", "restart_after": "2s"},
        ],
        duration="170s",
    )
    ((names, status, message),) = seen
    assert (status, len(names), "a-0" in names) == ("False", 2, True)
    assert WORDS in message
    assert any(WORDS in note for note in notes(story, "PublicationForbidden"))
    assert story.sent("load") == story.sent("unload") == []
    assert story.conditions()["SlicesAdopted"][0] == "True"
    assert "a-0" not in slice_names(story.simulation)
    assert story.violations == []


def test_an_endpoint_on_a_pod_without_the_adapter_is_withdrawn_while_the_service_is_refused(tmp_path: Path) -> None:
    """A policy keeps a changed Service as it is, and so the publication, which writes the Service first."""
    seen: list[int] = []

    def change_service(simulation: Simulation) -> None:
        simulation.store.patch("services", "default", "a-0", {"spec": {"publishNotReadyAddresses": True}})

    def add_endpoint(simulation: Simulation) -> None:
        (item,) = simulation.store.list(SLICES, namespace="default").items
        used = item["endpoints"][0]["targetRef"]["name"]
        pods = simulation.store.list("pods", namespace="default").items
        other = next(pod for pod in pods if pod["metadata"]["name"] != used)
        target = {"kind": "Pod", **{key: other["metadata"][key] for key in ("namespace", "name", "uid")}}
        point = {"addresses": [other["status"]["podIP"]], "conditions": {"ready": True}, "targetRef": target}
        endpoints = [*item["endpoints"], point]
        simulation.store.patch(SLICES, "default", item["metadata"]["name"], {"endpoints": endpoints})

    def look(simulation: Simulation) -> None:
        (item,) = simulation.store.list(SLICES, namespace="default").items
        seen.append(len(item["endpoints"]))

    fault = {"kind": "api-forbidden", "because": "admission", "verbs": ["patch"], "resources": ["services"]}
    story = run_story(
        tmp_path,
        (60, change_service),
        (90, add_endpoint),
        (90.001, look),
        (91, look),
        adapters=one(),
        faults=[fault | {"from": "50s", "until": "5m"}],
        duration="95s",
    )
    assert seen == [2, 1]
    assert story.conditions()["Bound"][0] == "False"
