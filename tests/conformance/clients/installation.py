"""The clients' own installation, outside the tree: none of them is needed to work on this repository."""

import subprocess
import sys
from pathlib import Path

from tests.conformance.servers.install import cache_folder, python312

LOCK = Path(__file__).parent / "requirements.lock"


def install() -> Path:
    """Install the locked clients if they are not there; return their Python.

    Raises:
        subprocess.CalledProcessError: if uv fails.
    """
    folder = cache_folder().parent / "clients"
    python, installed = folder / "venv/bin/python", folder / "installed.lock"
    if not installed.exists() or installed.read_bytes() != LOCK.read_bytes():
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "-q", "--clear", "--python", python312(), str(folder / "venv")], check=True)
        subprocess.run([*uv, "pip", "install", "-q", "--no-deps", "--python", str(python), "-r", str(LOCK)], check=True)
        installed.write_bytes(LOCK.read_bytes())
    return python
