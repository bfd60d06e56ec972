"""The command that adds an extra to this installation of `lora-twin`, wherever it comes from.

Sources: PEP 610 (`direct_url.json`), pipx (`pipx_metadata.json` in the environment), uv (`uv-receipt.toml` in a tool's
environment; `uv =` in `pyvenv.cfg` of an environment without pip).
"""

import json
import shlex
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_NAME = "lora-twin"


@dataclass(frozen=True, slots=True)
class Installation:
    """Facts that the command depends on.

    Attributes:
        prefix: the environment's folder.
        python: its interpreter.
        has_pip: whether the environment has pip.
        origin: `direct_url.json`; empty for a package from an index.
    """

    prefix: Path
    python: str
    has_pip: bool
    origin: dict[str, Any]


def install_command(extra: str) -> str:
    """Return the command that adds an extra here, as a line for a shell."""
    from importlib.metadata import PackageNotFoundError, distribution  # slow to import

    try:
        origin = json.loads(distribution(_NAME).read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        origin = {}
    return command_for(extra, Installation(Path(sys.prefix), sys.executable, find_spec("pip") is not None, origin))


def command_for(extra: str, installation: Installation) -> str:
    """Return the command that adds an extra to an installation."""
    prefix, origin = installation.prefix, installation.origin
    url, editable = str(origin.get("url", "")), bool(origin.get("dir_info", {}).get("editable"))
    path = unquote(urlsplit(url).path) if url.startswith("file:") else ""
    requirement = [f"{_NAME}[{extra}] @ {url}" if url else f"{_NAME}[{extra}]"]
    if editable and path:
        requirement = ["--editable", f"{path}[{extra}]"]
    if (prefix / "pipx_metadata.json").is_file():
        command = ["pipx", "install", "--force"]
    elif (prefix / "uv-receipt.toml").is_file():
        command = ["uv", "tool", "install"]
    elif installation.has_pip:
        command = [installation.python, "-m", "pip", "install"]
    else:
        command = ["uv", "pip", "install", "--python", installation.python]
    return shlex.join([*command, *requirement])
