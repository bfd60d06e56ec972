"""Files of recordings: one for each release, named `KIND-VERSION.json`, with the release and a format number inside."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class RecordingError(ValueError):
    """A file that is not a recording, is damaged, or is of another version than its name says."""


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one kind of recording.

    Attributes:
        folder: where they are.
        kind: beginning of their names, such as `weights`.
        target: target of the Makefile that makes them.
        format: number of the format that this checkout reads; None if the files have none.
        entries: type of what the sections of a file hold.
    """

    folder: Path
    kind: str
    target: str
    format: int | None = None
    entries: type = dict

    def path(self, version: str) -> Path:
        """Return the file of a release; it need not exist."""
        return self.folder / f"{self.kind}-{version}.json"

    def versions(self) -> list[str]:
        """Return the releases that have a file, oldest first."""
        names = [path.stem.removeprefix(f"{self.kind}-") for path in self.folder.glob(f"{self.kind}-*.json")]
        return sorted(names, key=lambda version: [int(part) for part in version.split(".")])

    def read(self, version: str, *sections: str) -> dict[str, Any]:
        """Return the content of a release's file, which has at least the objects `sections`.

        Raises:
            RecordingError: if the file is missing, damaged, or of another version than its name says.
        """
        path = self.path(version)
        try:
            document: dict[str, Any] = json.loads(path.read_bytes())
            found, format = document["version"], document["format"] if self.format else None
            for section in sections:
                check_entries(document[section], section, self.entries)
        except FileNotFoundError as error:
            raise RecordingError(f"File not found: {path}; make it with `make {self.target} VLLM={version}`") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RecordingError(
                f"{path} is not a recording: {error!r}; make it again with `make {self.target}`"
            ) from error
        if format != self.format:
            raise RecordingError(f"{path} has format {format}; this checkout reads format {self.format}")
        if found != version:
            raise RecordingError(f"{path} is a recording of {found}; name it {self.path(found).name}")
        return document

    def damaged(self, version: str, place: str) -> RecordingError:
        """Return the error of a file that is wrong at one place."""
        return RecordingError(f"{self.path(version)} is damaged at {place}; make it again with `make {self.target}`")


def check_entries(section: Any, name: str, kind: type) -> None:
    """Check that a section is an object whose entries have one type.

    Raises:
        TypeError: if not.
    """
    if not isinstance(section, dict):
        raise TypeError(f"{name} is not an object")
    if wrong := next((key for key, entry in section.items() if not isinstance(entry, kind)), None):
        raise TypeError(f"{name}/{wrong} is {type(section[wrong]).__name__}, not {kind.__name__}")
