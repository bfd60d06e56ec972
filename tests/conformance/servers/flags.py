"""Reads the flags of installed vLLM releases and writes what `formats/engine_command/vllm_values.json` says of them.

python -m tests.conformance.servers.flags VERSION...   (installed by `make record`; all releases of the file at once)

The file has the allowed values of flags by release, those of a later release only where they differ, the flags that
take a number, and the newest release that lacks a flag.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from formats.engine_command.vllm_values import FILE
from tests.conformance.servers.install import installation_of

_READ = """
import json
from vllm.utils.argparse_utils import FlexibleArgumentParser
try:
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
except ImportError:
    from vllm.entrypoints.openai.cli_args import make_arg_parser
flags = {}
for action in make_arg_parser(FlexibleArgumentParser())._actions:
    for option in action.option_strings:
        if option.startswith("--") and not option.startswith("--no-"):
            choices = action.choices and [str(choice) for choice in action.choices]
            flags[option[2:]] = [getattr(action.type, "__name__", ""), choices]
print("FLAGS" + json.dumps(flags))
"""
"""Prints type and allowed values of every flag."""

Flags = Mapping[str, tuple[str, Sequence[str] | None]]


def main() -> None:
    releases = {version: _flags(version) for version in sorted(sys.argv[1:], key=_numbers)}
    newest = releases[max(releases, key=_numbers)]
    numbers = {name: kind for name, (kind, _) in sorted(newest.items()) if kind in ("int", "float")}
    document = {"numbers": numbers, "lacking": _lacking(releases), "choices": _choices(releases)}
    FILE.write_text(json.dumps(document, indent=1, sort_keys=False) + "\n", encoding="utf-8")


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _flags(version: str) -> Flags:
    python = installation_of(version) / "venv" / "bin" / "python"
    output = subprocess.run([str(python), "-c", _READ], capture_output=True, text=True, check=True).stdout
    flags: Flags = json.loads(output.rpartition("FLAGS")[2])
    return flags


def _lacking(releases: Mapping[str, Flags]) -> dict[str, str]:
    """Return the newest release that lacks each flag which a later one has."""
    lacking: dict[str, str] = {}
    seen: set[str] = set()
    for version in reversed(releases):
        for name in sorted(seen - releases[version].keys()):
            lacking.setdefault(name, version)
        seen |= releases[version].keys()
    return dict(sorted(lacking.items()))


def _choices(releases: Mapping[str, Flags]) -> dict[str, dict[str, Any]]:
    """Return the allowed values of each release, without those that are the same as in the release before."""
    result: dict[str, dict[str, Any]] = {}
    before: dict[str, Any] = {}
    for version, flags in releases.items():
        now = {name: choices for name, (_, choices) in sorted(flags.items()) if choices}
        result[version] = {name: choices for name, choices in now.items() if before.get(name) != choices}
        result[version] |= {name: None for name in before if name not in now}
        before = now
    return result


if __name__ == "__main__":
    main()
