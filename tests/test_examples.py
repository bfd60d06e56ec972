"""The committed example reports are what their commands produce."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "reports" / "examples"
FILES = {
    "quickstart": ("report.html", "summary.json"),
    "failed": ("report.html", "summary.json"),
    "comparison": ("comparison.html", "comparison.json"),
    "density": ("comparison.html", "comparison.json"),
}
SLOW = pytest.mark.skipif("CI" not in os.environ, reason="runs thirty simulations; CI does")


@pytest.mark.parametrize(
    "name",
    ["quickstart", "failed", pytest.param("comparison", marks=SLOW), pytest.param("density", marks=SLOW)],
)
def test_an_example_made_again_has_the_same_json(name: str, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "twin").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m twin "$@"\n')
    (tools / "twin").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([EXAMPLES / "make.sh", tmp_path / "out", name], check=True, env=environment, cwd=ROOT)
    page, document = FILES[name]
    assert numbers_rounded(tmp_path / "out" / name / document) == numbers_rounded(EXAMPLES / name / document)
    assert (tmp_path / "out" / name / page).is_file()


def numbers_rounded(file: Path) -> Any:
    """The document with nine digits of each number: the last ones depend on the machine's linear algebra."""
    return json.loads(file.read_text(encoding="utf-8"), parse_float=lambda text: float(f"{float(text):.9g}"))


def test_every_example_is_small_and_works_offline() -> None:
    for name, files in FILES.items():
        assert {path.name for path in (EXAMPLES / name).iterdir()} == set(files)
        assert all((EXAMPLES / name / file).stat().st_size < 1_000_000 for file in files)
        page = (EXAMPLES / name / files[0]).read_text(encoding="utf-8")
        assert not re.search(r'(src|href)="https?://', page)


def test_the_readme_has_the_command_of_every_example() -> None:
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    script = re.sub(r"\\\n\s+", "", (EXAMPLES / "make.sh").read_text(encoding="utf-8"))
    commands = re.findall(r"expect \d (twin .*?) --out", script)
    assert len(commands) == len(FILES)
    assert all(f"`{command}`" in readme for command in commands)
