"""Recordings: what a server of one version answered to the table, kept as JSON."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from tests.conformance.recording_files import RecordingError, check_entries, check_head, refusals

FOLDER = Path(__file__).parent / "recordings"
_FORMAT = 3
SECTIONS = ("startup", "lifecycle", "cases")


class _Answer(msgspec.Struct, forbid_unknown_fields=True, rename={"next_request": "next request"}):
    """Fields of an answer that a recording holds; see `playing/player.py` and the stories."""

    status: int | UnsetType = UNSET
    headers: dict[str, str] | UnsetType = UNSET
    json: dict[str, Any] | list[Any] | UnsetType = UNSET
    text: str | UnsetType = UNSET
    events: list[dict[str, Any] | str] | UnsetType = UNSET
    families: dict[str, dict[str, Any]] | UnsetType = UNSET
    counts: dict[str, Any] | UnsetType = UNSET
    error: str | UnsetType = UNSET
    exit: int | UnsetType = UNSET
    stream: str | UnsetType = UNSET
    last: list[str] | UnsetType = UNSET
    next_request: str | UnsetType = UNSET

    def __post_init__(self) -> None:
        """Check that it says how the request ended.

        Raises:
            ValueError: if not.
        """
        if all(each is UNSET for each in (self.status, self.error, self.exit, self.stream, self.next_request)):
            raise ValueError("an answer needs a status or an error")


class _Startup(msgspec.Struct, forbid_unknown_fields=True):
    error: str
    exit: int | None


_ENTRIES: Mapping[str, Any] = {
    "request_digests": str,
    "cases": list[_Answer],
    "startup": _Startup,
    "lifecycle": list[_Answer],
}


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
    with refusals(path, "make record VLLM=VERSION"):
        document = json.loads(path.read_bytes())
        check_head(path, document, _FORMAT)
        for name, kind in _ENTRIES.items():
            check_entries(document[name], name, kind)
        if not document["request_digests"]:
            raise ValueError("it is empty")
    recording = Recording(document["version"], *(document[name] for name in _ENTRIES))
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
