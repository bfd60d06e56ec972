"""Recordings: what a server of one version answered to the table, kept as JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "recordings"
_FORMAT = 1


class RecordingError(ValueError):
    """A file that is not a recording, is damaged, or is of another version than its name says."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Answers by case, start-ups by name, stories by name.

    Attributes:
        version: vLLM's release, such as `0.32.0`.
        cases: a list of answers for each case, one for each step.
    """

    version: str
    cases: Mapping[str, list[dict[str, Any]]]
    startup: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    lifecycle: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)


def path_of(version: str) -> Path:
    return FOLDER / f"vllm-{version}.json"


def write(recording: Recording, path: Path) -> None:
    """Write a recording, one answer a line, so that changes can be read in a diff."""
    parts = [f'{{"format": {_FORMAT}, "version": {json.dumps(recording.version)}']
    for name in ("startup", "lifecycle", "cases"):
        entries = getattr(recording, name)
        lines = [f"  {json.dumps(key)}: {_lines(entries[key])}" for key in sorted(entries)]
        parts.append(f'"{name}": {{\n' + ",\n".join(lines) + "\n}")
    temporary = path.with_suffix(".part")
    temporary.write_text(",\n".join(parts) + "}\n", encoding="utf-8")
    temporary.rename(path)


def _lines(value: Any) -> str:
    if not isinstance(value, list):
        return json.dumps(value)
    return "[\n" + ",\n".join(f"    {json.dumps(item)}" for item in value) + "\n  ]"


def read(path: Path) -> Recording:
    """Read a recording.

    Raises:
        RecordingError: if the file is missing, damaged, or of another version than its name says.
    """
    try:
        document = json.loads(path.read_bytes())
        version, cases = document["version"], document["cases"]
        recording = Recording(version, cases, document["startup"], document["lifecycle"])
    except FileNotFoundError as error:
        raise RecordingError(f"File not found: {path}; make it with `make record VLLM=VERSION`") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RecordingError(f"{path} is not a recording: {error}; make it again with `make record`") from error
    if document.get("format") != _FORMAT:
        raise RecordingError(f"{path} has format {document.get('format')}; this checkout reads format {_FORMAT}")
    if path.name != path_of(version).name:
        raise RecordingError(f"{path} is a recording of {version}; its name must be {path_of(version).name}")
    return recording


def versions() -> list[str]:
    """Return the versions that have a recording, oldest first."""
    names = [path.stem.removeprefix("vllm-") for path in FOLDER.glob("vllm-*.json")]
    return sorted(names, key=lambda version: [int(part) for part in version.split(".")])
