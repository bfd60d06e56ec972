"""Adapters in folders of the pods, as a world declares them."""

from pathlib import Path
from typing import Any

import pytest

from tests.harness.story import ENGINES, one, run_story
from tests.twin.worlds import a_scenario
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


def test_a_file_that_is_no_absolute_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioErrors, match="adapters/sql"):
        a_scenario(tmp_path, cluster={"artifacts": {"files": {"adapters/sql": {}}}})
