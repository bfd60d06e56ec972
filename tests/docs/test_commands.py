"""The shell blocks of the documentation work: they are run in order against a running `twin serve`.

Commands that need an image registry are not run; the operator inside the simulated cluster replaces the image.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

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
objects:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: site}, data: {region: west}}
"""
NOT_HERE = ("docker",)
ADAPTER = "sql-expert"


def commands(page: str) -> list[str]:
    """Return the commands of a page's `sh` blocks, with continued lines joined."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith(NOT_HERE)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working directory with the folders of the repository root that the pages use."""
    for name in ("controller", "scenarios"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


@pytest.fixture
def world(folder: Path) -> Iterator[World]:
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


def test_the_install_security_and_upgrade_pages_work_as_written(world: World, folder: Path) -> None:
    """All pages, in the order of an installation's life cycle."""
    for page in ("install.md", "troubleshooting.md", "clusters.md", "security.md", "upgrade.md"):
        run_page(page, folder, dict(world.environment))
    assert "No resources found" in world.kubectl("get", "pods", "-n", "lora-system").all


def test_the_production_page_works_as_written(world: World, folder: Path) -> None:
    run_page("production.md", folder, dict(world.environment))
    assert (folder / "mine.yaml").is_file()
    assert (folder / "reports/production/quickstart/0/report.html").is_file()
