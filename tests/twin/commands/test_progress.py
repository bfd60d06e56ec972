"""Progress appears on terminals only, whatever their width, and without colours where `NO_COLOR` asks for none."""

import os
import pty
import re
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from twin.commands import progress

SHOW = """
from twin.commands.progress import busy, progress_bar, share_bar
from types import SimpleNamespace as Scenario
with progress_bar(Scenario(name="[night] shift", duration=7200.0), quiet=False) as reached:
    reached(60.0)
    reached(7200.0)
with share_bar("capturing") as update:
    update(0.5, "half")
with busy("drawing"):
    pass
"""


def on_a_terminal(columns: int, **variables: str) -> str:
    """Run `SHOW` with standard error on a terminal of that width; return what is shown."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), **variables}
    done = subprocess.run(
        [sys.executable, "-c", SHOW], env=environment, stdout=subprocess.PIPE, stderr=theirs, timeout=30
    )
    os.close(theirs)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)
    assert (done.returncode, done.stdout) == (0, b"")
    return shown.decode()


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux: the other end is closed
        return b""


@pytest.mark.parametrize(("columns", "variables"), [(120, {}), (24, {}), (80, {"NO_COLOR": "1"})])
def test_a_terminal_shows_progress_within_its_width_and_erases_it(columns: int, variables: dict[str, str]) -> None:
    shown = on_a_terminal(columns, **variables)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert max(len(line) for line in re.split(r"[\r\n]+", plain)) <= columns
    if columns > 60:
        assert "[night] shift" in plain
        assert "drawing the report" in plain
        assert "capturing" in plain
    colours = re.findall(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", shown)
    assert bool(colours) is not bool(variables)


def test_nothing_is_printed_where_no_terminal_is(capfd: pytest.CaptureFixture[str]) -> None:
    scenario: Any = SimpleNamespace(name="s", duration=60.0)
    with progress.progress_bar(scenario, quiet=False) as reached:
        assert reached is None
    with progress.share_bar("s") as update, progress.busy("drawing"):
        update(0.5, "half")
    assert capfd.readouterr() == ("", "")
