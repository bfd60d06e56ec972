"""The release workflow builds what there is, signs it, and publishes nothing without being asked."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.images.containers import DOCKERFILES

ROOT = Path(__file__).parents[1]
WORKFLOW = ROOT / ".github/workflows/release.yml"


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    return dict(YAML(typ="safe").load(WORKFLOW.read_text()))


def scripts(job: dict[str, Any]) -> str:
    return "\n".join(step["run"] for step in job["steps"] if "run" in step)


def test_it_builds_each_image_of_the_repository_for_two_architectures(workflow: dict[str, Any]) -> None:
    job = workflow["jobs"]["images"]
    assert {item["image"]: item["file"] for item in job["strategy"]["matrix"]["include"]} == DOCKERFILES
    assert {str(file.relative_to(ROOT)) for file in ROOT.glob("*/**/Dockerfile")} == set(DOCKERFILES.values())
    assert "--platform linux/amd64,linux/arm64" in scripts(job)
    assert "LORA_TWIN_VERSION=${TAG#v}" in scripts(job)
    assert all("ARG LORA_TWIN_VERSION" in (ROOT / file).read_text() for file in DOCKERFILES.values())


def test_everything_that_it_builds_is_signed(workflow: dict[str, Any]) -> None:
    for name in ("package", "chart", "images"):
        job = workflow["jobs"][name]
        assert any(step.get("uses", "").startswith("actions/attest-build-provenance@") for step in job["steps"]), name
        assert job["permissions"]["attestations"] == "write"


def test_only_a_manual_run_that_asks_for_it_publishes(workflow: dict[str, Any]) -> None:
    publishing = re.compile(r"pypi-publish|skopeo copy|helm push|cosign sign|--push\b")
    jobs = {name: str(job) for name, job in workflow["jobs"].items() if publishing.search(str(job))}
    assert set(jobs) == {"publish"}
    publish = workflow["jobs"]["publish"]
    assert publish["if"] == "${{ github.event_name == 'workflow_dispatch' && inputs.publish }}"
    assert publish["environment"] == "release"
    assert workflow["permissions"] == {"contents": "read"}
    (trigger,) = (value for key, value in workflow.items() if key in ("on", True))
    assert trigger["workflow_dispatch"]["inputs"]["publish"]["default"] is False


def test_its_scripts_are_shell_and_name_files_that_exist(workflow: dict[str, Any]) -> None:
    for name, job in workflow["jobs"].items():
        script = scripts(job)
        done = subprocess.run([shutil.which("bash") or "bash", "-n"], input=script, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), name
        for path in re.findall(r"(?<![\w/])(?:controller/[\w/]+|\.ci/\w+|requirements[\w.-]*lock)", script):
            assert (ROOT / path).exists(), path
