"""Recordings: what a server of one version answered to the table, kept as JSON."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conformance.recording_files import RecordingError, check_entries

FOLDER = Path(__file__).parent / "recordings"
_FORMAT = 3
SECTIONS = ("startup", "lifecycle", "cases")
_ENTRIES: Mapping[str, type] = {"request_digests": str, "cases": list, "startup": dict, "lifecycle": list}


@dataclass(frozen=True, slots=True)
class Recording:
    """Answers by case, start-ups by name, stories by name.

    Attributes:
        version: vLLM's release, such as `0.32.0`.
        request_digests: digest of what each entry asks for, by name with its section (see `table.py`).
        cases: a list of answers for each case, one for each step.
    """

    version: str
    request_digests: Mapping[str, str]
    cases: Mapping[str, list[dict[str, Any]]]
    startup: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    lifecycle: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)

    def names(self) -> set[str]:
        """Return the names of all entries, section included."""
        return {f"{section}/{name}" for section in SECTIONS for name in getattr(self, section)}


def path_of(version: str) -> Path:
    return FOLDER / f"vllm-{version}.json"


def write(recording: Recording, path: Path) -> None:
    """Write a recording, one answer a line, so that changes can be read in a diff."""
    parts = [f'{{"format": {_FORMAT}, "version": {json.dumps(recording.version)}']
    for name in ("request_digests", *SECTIONS):
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
        if document["format"] != _FORMAT:
            raise RecordingError(f"{path} has format {document['format']}; this checkout reads format {_FORMAT}")
        for name, kind in _ENTRIES.items():
            check_entries(document[name], name, kind)
        recording = Recording(document["version"], *(document[name] for name in _ENTRIES))
    except FileNotFoundError as error:
        raise RecordingError(f"File not found: {path}; make it with `make record VLLM=VERSION`") from error
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise RecordingError(f"{path} is not a recording: {error}; make it again with `make record`") from error
    if path.name != path_of(recording.version).name:
        raise RecordingError(f"{path} is a recording of {recording.version}; name it {path_of(recording.version).name}")
    if lost := recording.names() ^ set(recording.request_digests):
        raise RecordingError(f"{path} is damaged at {min(lost)}; make it again with `make record`")
    return recording


def merge(old: Recording, new: Recording, names: Collection[str]) -> Recording:
    """Return `old` with the entries of `new` in place of its own, and only what is in `names`."""

    def merged(section: str) -> dict[str, Any]:
        entries = {**getattr(old, section), **getattr(new, section)}
        return {name: entry for name, entry in entries.items() if f"{section}/{name}" in names}

    digests = {**old.request_digests, **new.request_digests}
    kept = {name: digest for name, digest in digests.items() if name in names}
    return Recording(new.version, kept, merged("cases"), merged("startup"), merged("lifecycle"))


def versions() -> list[str]:
    """Return the versions that have a recording, oldest first."""
    names = [path.stem.removeprefix("vllm-") for path in FOLDER.glob("vllm-*.json")]
    return sorted(names, key=lambda version: [int(part) for part in version.split(".")])
