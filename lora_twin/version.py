"""Version of the distribution, computed when it is built (`[tool.hatch.version]`).

In this order: the variable `LORA_TWIN_VERSION` (builds without a Git folder, such as images), the version of the source
distribution that is built, the newest tag `vX.Y.Z` of the checkout, and `UNTAGGED`.
"""

import os
import re
import subprocess
from pathlib import Path

UNTAGGED = "0.1.0"
"""Version of a checkout without a tag."""
VARIABLE = "LORA_TWIN_VERSION"

_DESCRIBED = re.compile(r"v(?P<release>\d+\.\d+\.\d+)-(?P<commits>\d+)-g(?P<commit>[0-9a-f]+)")


def current_version() -> str:
    """Return the version of the tree that contains this file."""
    root = Path(__file__).resolve().parents[1]
    return os.environ.get(VARIABLE) or _of_source_distribution(root) or version_of(_describe(root))


def version_of(described: str) -> str:
    """Return the version for the output of `git describe --tags --long`.

    Commits after a tag are development versions of the next patch release, as setuptools-scm numbers them.
    """
    match = _DESCRIBED.fullmatch(described)
    if match is None:
        return UNTAGGED
    if match["commits"] == "0":
        return match["release"]
    major, minor, patch = match["release"].split(".")
    return f"{major}.{minor}.{int(patch) + 1}.dev{match['commits']}+g{match['commit']}"


def _of_source_distribution(root: Path) -> str:
    """Return the version in PKG-INFO, which only source distributions have; empty in a checkout."""
    try:
        lines = (root / "PKG-INFO").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ""
    return next(line.partition(":")[2].strip() for line in lines if line.startswith("Version:"))


def _describe(root: Path) -> str:
    """Return the newest tag of a checkout, as Git describes it; empty without Git, a checkout or a tag."""
    if not (root / ".git").exists():
        return ""
    command = ["git", "describe", "--tags", "--long", "--match", "v[0-9]*.[0-9]*.[0-9]*"]
    try:
        return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
