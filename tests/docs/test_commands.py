"""The shell blocks of the documentation work: they are run in order against a running `twin serve`.

The image is not built. In this cluster `lora-controller` without a registry does not exist, as on a real one, so a page
that loses the image of its installation fails. Addresses of the repository are those of a clone on this disk.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.twin.serve.worlds import World, a_served_world

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SCENARIO = """\
name: docs
duration: 10h
cluster:
  nodes: {count: 2, gpus: 8}
  engines: {default: {startup: 20s, load: 1s}}
  missing_images: [lora-controller]
objects:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: site}, data: {region: west}}
"""
NOT_HERE = ("docker",)
ADAPTER = "sql-expert"
REPOSITORY, TAG = "https://github.com/lora-twin/lora-twin", "v0.1.0"
CHART = ROOT / "tests/controller/deploy/chart/whole-cluster.yaml"
IMAGE = "jsonpath={.spec.template.spec.containers[0].image}"
ALERTS = tuple(f"alerts/{page.name}" for page in sorted((DOCS / "alerts").glob("Lora*.md")))


def blocks(page: str, language: str, section: str = "") -> list[str]:
    """Return the lines of a page's (or a section's) blocks in a language, with continued lines joined."""
    pattern = rf"^```{language}\n(.*?)^```"
    text = (DOCS / page).read_text(encoding="utf-8")
    if section:
        text = text.split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    found = re.findall(pattern, text, re.DOTALL | re.MULTILINE)
    return [line for line in "".join(found).replace("\\\n", " ").splitlines() if line.strip()]


def commands(page: str) -> list[str]:
    """Return the commands of a page's `sh` blocks that can be run here."""
    return [line for line in blocks(page, "sh") if not line.startswith(NOT_HERE)]


def write_files(page: str, folder: Path) -> None:
    """Write the files that a page tells its readers to save."""
    text = (DOCS / page).read_text(encoding="utf-8")
    for name, content in re.findall(r"Save this as\s`([^`]+)`:\n\n```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment in which the address of the repository is a clone of this checkout, with a tag."""
    clone = tmp_path_factory.mktemp("git") / "clone"
    subprocess.run(["git", "clone", "--quiet", "--bare", "--depth=1", f"file://{ROOT}", str(clone)], check=True)
    subprocess.run(["git", "-C", str(clone), "tag", "--force", TAG], check=True, capture_output=True)
    instead = {"GIT_CONFIG_KEY_0": f"url.file://{clone}.insteadOf", "GIT_CONFIG_VALUE_0": REPOSITORY}
    return {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_GLOBAL": os.devnull, **instead}


def linked(folder: Path) -> Path:
    """Return a working directory with the folders of the repository root that the pages use."""
    for name in ("controller", "scenarios"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return linked(tmp_path_factory.mktemp("docs"))


@pytest.fixture(scope="module")
def world(folder: Path) -> Iterator[World]:
    """One cluster for the tests of installations, the last of which removes everything."""
    with a_served_world(folder, "--speed", "30", scenario=SCENARIO) as served:
        yield served


def run_page(page: str, folder: Path, environment: dict[str, str]) -> None:
    """Run every command of a page; fail at the first that fails."""
    environment = {**environment, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"}
    for command in commands(page):
        ran = subprocess.run(
            ["bash", "-c", command.replace("ADAPTER", ADAPTER)],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, f"{page}: $ {command}\n{ran.stdout}{ran.stderr}"


def test_the_production_page_works_as_written(tmp_path: Path) -> None:
    """In a cluster of its own: the page serves another one from the same folder."""
    folder = linked(tmp_path)
    with a_served_world(folder, "--speed", "30", scenario=SCENARIO) as world:
        run_page("production.md", folder, dict(world.environment))
    assert (folder / "mine.yaml").is_file()
    assert (folder / "reports/production/quickstart/0/report.html").is_file()


def image(world: World) -> str:
    return world.kubectl("-n", "lora-system", "get", "deployment/lora-controller", "-o", IMAGE).out


def test_an_image_that_is_in_no_registry_is_not_rolled_out_and_the_objects_of_the_chart_are(world: World) -> None:
    overlay = ("-k", str(ROOT / "controller/deploy/overlays/whole-cluster"))
    rollout = ("-n", "lora-system", "rollout", "status", "deployment/lora-controller")
    assert world.kubectl("apply", *overlay).code == 0
    assert "timed out" in world.kubectl(*rollout, "--timeout=2s").all
    pods = world.kubectl("-n", "lora-system", "get", "pods").out
    assert "ErrImagePull" in pods or "ImagePullBackOff" in pods
    assert world.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CHART)).code == 0
    done = world.kubectl(*rollout, "--timeout=60s")
    assert done.code == 0, done.all
    assert world.kubectl("delete", *overlay, "--timeout=60s").code == 0


@pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not installed")
def test_the_pages_commands_for_helm_work_as_written(world: World, folder: Path) -> None:
    """Install, upgrade and uninstall, by a real Helm."""
    helm = [
        line for page in ("install.md", "upgrade.md") for line in blocks(page, "console") if line.startswith("helm ")
    ]
    for command in [*helm, "helm uninstall lora-controller --namespace lora-system"]:
        wait = "" if " uninstall " in command else " --wait --timeout 60s"
        line = ["bash", "-c", f"{command}{wait}"]
        done = subprocess.run(line, cwd=folder, env=dict(world.environment), capture_output=True, text=True, timeout=90)
        assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
        if wait:
            tag = "0.2.0" if " upgrade " in command else "0.1.0"
            assert image(world) == f"registry.example.com/lora-controller:{tag}"
    assert len(helm) == 2
    assert "modeladapters.model.aibrix.ai" in world.kubectl("get", "crd").out


def test_the_install_security_and_upgrade_pages_work_as_written(
    world: World, folder: Path, git: dict[str, str]
) -> None:
    """All pages, in the order of an installation's life cycle; the upgrade keeps the registry of the image."""
    environment = {**world.environment, **git}
    for page in ("install.md", "troubleshooting.md", "clusters.md", "security.md", *ALERTS, "upgrade.md"):
        write_files(page, folder)
        run_page(page, folder, environment)
        if page == "install.md":
            assert image(world) == "registry.example.com/lora-controller:0.1.0"
            assert "leader_election_master_status" in httpx.get(f"{world.gateway}/metrics", trust_env=False).text
    assert "No resources found" in world.kubectl("get", "pods", "-n", "lora-system").all


def test_every_target_of_the_makefile_is_there_once_and_listed() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):", text, re.MULTILINE)
    (phony,) = re.findall(r"^\.PHONY: (.+)$", text, re.MULTILINE)
    assert sorted(targets) == sorted(phony.split())
