"""Process 1 of a container must handle signals itself: the kernel applies no default action to it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

SIGNALLED = '''
import os, signal, sys

class Meanwhile:
    """SIGTERM comes while the command still reads its modules."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "asyncio":
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Meanwhile)
'''


@pytest.mark.parametrize("module", ["controller", "controller.sidecar", "fake_vllm"])
def test_a_command_that_has_hardly_started_ends_when_it_is_told_to(module: str, tmp_path: Path) -> None:
    """As under the kernel's rule: nothing but a handler of its own lets SIGTERM through."""
    (tmp_path / "sitecustomize.py").write_text(SIGNALLED)
    ended = subprocess.run(
        [sys.executable, "-m", module, "--no-such-flag"],
        env={"PYTHONPATH": str(tmp_path)},
        preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (ended.returncode, ended.stderr) == (128 + signal.SIGTERM, "")
