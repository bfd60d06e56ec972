"""Adapters in folders of the pods, as a world declares them."""

from pathlib import Path
from typing import Any

import pytest

from tests.harness.story import ENGINES, one, run_story
from tests.twin.worlds import a_scenario, adapters, deployment
from twin.scenario import ScenarioErrors


def phase_and_reason(folder: Path, path: str, files: dict[str, Any] | None) -> tuple[str, str, str]:
    """Return phase, and reason and message of `Ready`, of an adapter that is loaded from a path."""
    cluster = {**ENGINES, "artifacts": {"bandwidth": "1Gbit/s", "files": files}}
    story = run_story(folder, cluster=cluster, adapters=one(artifactURL=path), duration="2m", pods=1)
    _, reason, message = story.conditions()["Ready"]
    return story.adapter()["status"]["phase"], reason, message


@pytest.mark.parametrize(
    ("path", "outcome"),
    [
        ("/adapters/sql", ("Running", "ModelAdapterAvailable", "is ready")),
        ("/adapters/sql2", ("Failed", "ArtifactNotFound", "No adapter found for /adapters/sql2")),
        ("/adapters/dora", ("Failed", "InvalidAdapter", "vLLM does not yet support DoRA.")),
        ("/adapters/big", ("Failed", "AdapterExceedsLimits", "LoRA rank 64 is greater than max_lora_rank 16")),
        ("/adapters/cut", ("Failed", "InvalidAdapter", "Error while deserializing header")),
        ("huggingface://acme/sql", ("Running", "ModelAdapterAvailable", "is ready")),
    ],
)
def test_only_declared_paths_exist_and_each_is_judged_as_declared(
    path: str, outcome: tuple[str, str, str], tmp_path: Path
) -> None:
    files = {
        "/adapters/sql": {},
        "/adapters/dora": {"config": {"use_dora": True}},
        "/adapters/big": {"rank": 64},
        "/adapters/cut": {"broken": "Error while deserializing header: header too large"},
    }
    phase, reason, message = phase_and_reason(tmp_path, path, files)
    assert (phase, reason) == outcome[:2]
    assert outcome[2] in message


def test_without_the_section_every_path_has_an_adapter(tmp_path: Path) -> None:
    assert phase_and_reason(tmp_path, "/adapters/sql2", None)[0] == "Running"


def test_the_operator_survives_engines_that_end_because_files_are_gone(tmp_path: Path) -> None:
    """Other adapters come and go and evict an idle one. Its files are deleted, and the next request ends its engine."""
    small = deployment(1)
    container = small["spec"]["template"]["spec"]["containers"][0]
    container["command"][-1] = "2"
    passing = adapters(3, replicas=1, arrive={"every": "10s", "from": "40s"}, leave={"after": "5s"}, name="b-{i}")
    story = run_story(
        tmp_path,
        objects=[small],
        adapters=[*one(artifactURL="/adapters/sql"), passing],
        faults=[{"kind": "adapter-files-deleted", "artifacts": ["/adapters/*"], "from": "90s", "until": "2m"}],
        traffic={"rate": "1/s", "from": "95s", "until": "96s", "output_tokens": 4},
        duration="10m",
    )
    pod = story.simulation.world.running_pods()[0]
    status = story.simulation.store.get("pods", *pod.split("/"))["status"]["containerStatuses"][0]
    ended = status["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"], status["restartCount"]) == (0, "Completed", 1)
    assert ended["message"] == "a-0: Loading lora a-0 failed: No adapter found for /adapters/sql"
    assert story.adapter()["status"]["phase"] == "Running"
    assert story.published() == story.holders() == [pod.split("/")[1]]
    assert len(story.sent("load")) <= 4
    assert story.violations == []


def test_a_file_that_is_no_absolute_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioErrors, match="adapters/sql"):
        a_scenario(tmp_path, cluster={"artifacts": {"files": {"adapters/sql": {}}}})
