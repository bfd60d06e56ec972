"""The command that adds an extra, by the way in which the package was installed."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from formats.installation import Installation, command_for, install_command

WHEEL = {"url": "file:///tmp/my%20wheels/lora_twin-0.1.0-py3-none-any.whl", "archive_info": {}}
CHECKOUT = {"url": "file:///home/ann/lora-twin", "dir_info": {"editable": True}}
GIT = {"url": "https://github.com/lora-twin/lora-twin", "vcs_info": {"vcs": "git"}}


@pytest.mark.parametrize(
    ("marker", "has_pip", "origin", "command"),
    [
        ("", True, {}, "/env/bin/python -m pip install 'lora-twin[lab]'"),
        ("", True, CHECKOUT, "/env/bin/python -m pip install --editable '/home/ann/lora-twin[lab]'"),
        ("", True, WHEEL, f"/env/bin/python -m pip install 'lora-twin[lab] @ {WHEEL['url']}'"),
        ("", True, GIT, f"/env/bin/python -m pip install 'lora-twin[lab] @ {GIT['url']}'"),
        ("", False, {}, "uv pip install --python /env/bin/python 'lora-twin[lab]'"),
        ("pipx_metadata.json", False, {}, "pipx install --force 'lora-twin[lab]'"),
        ("uv-receipt.toml", False, {}, "uv tool install 'lora-twin[lab]'"),
    ],
)
def test_the_command_fits_the_installation(
    marker: str, has_pip: bool, origin: dict[str, Any], command: str, tmp_path: Path
) -> None:
    if marker:
        (tmp_path / marker).touch()
    assert command_for("lab", Installation(tmp_path, "/env/bin/python", has_pip, origin)) == command


def test_the_command_of_this_environment_is_one_that_runs_here() -> None:
    program, *words = shlex.split(install_command("lab"))
    assert words[-1].endswith("[lab]") or "[lab] @ " in words[-1]
    if program == sys.executable:
        done = subprocess.run([program, *words[:2], "--version"], capture_output=True, text=True, check=True)
        assert done.stdout.startswith("pip ")
