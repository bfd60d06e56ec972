"""Files of recordings: one for each release, named `KIND-VERSION.json`, with the release and a format number inside."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec


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
        entries: type of what the sections of a file hold, for msgspec.
    """

    folder: Path
    kind: str
    target: str
    format: int | None = None
    entries: Any = dict[str, Any]

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
        with refusals(path, f"make {self.target} VLLM={version}"):
            document: dict[str, Any] = json.loads(path.read_bytes())
            check_head(path, document, self.format)
            for section in sections:
                check_entries(document[section], section, self.entries)
            if sections and not document[sections[0]]:
                raise ValueError(f"{sections[0]} is empty")
        return document

    def damaged(self, version: str, place: str) -> RecordingError:
        """Return the error of a file that is wrong at one place."""
        return RecordingError(f"{self.path(version)} is damaged at {place}; make it again with `make {self.target}`")


@contextmanager
def refusals(path: Path, command: str) -> Iterator[None]:
    """Turn what a missing or damaged file raises in the block into a `RecordingError` with one line.

    Args:
        path: the file.
        command: makes it.
    """
    try:
        yield
    except RecordingError:
        raise
    except FileNotFoundError as error:
        raise RecordingError(f"File not found: {path}; make it with `{command}`") from error
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise RecordingError(f"{path} is not a recording: {what}; make it again with `{command}`") from error


def check_head(path: Path, document: Any, format: int | None) -> None:
    """Check that a file is an object of the format that this checkout reads, and of the release in its name.

    Raises:
        RecordingError: if its format or its release is another one.
        TypeError: if it is no object, or has another type in one of the two.
        KeyError: if it lacks one of the two.
    """
    if not isinstance(document, dict):
        raise TypeError("it is not an object")
    found = document["version"]
    if not isinstance(found, str):
        raise TypeError(f"its version is not a text: {found!r}")
    if format is not None and (document["format"] is True or document["format"] != format):
        raise RecordingError(f"{path} has format {document['format']}; this checkout reads format {format}")
    kind, _, rest = path.name.partition("-")
    release, _, ending = rest.partition(".json")
    if found != release:
        raise RecordingError(f"{path} is a recording of {found}; name it {kind}-{found}.json{ending}")


def check_entries(section: Any, name: str, kind: Any) -> None:
    """Check that a section is an object whose entries have one type, at every depth that the type says.

    Args:
        section: as read from JSON.
        name: of the section, for the error.
        kind: a type that msgspec reads: a dataclass, a Struct, `list[int]`.

    Raises:
        TypeError: if not; the message names the entry and the place in it.
    """
    if not isinstance(section, dict):
        raise TypeError(f"{name} is not an object")
    for key, entry in section.items():
        try:
            msgspec.convert(entry, kind)
        except msgspec.ValidationError as error:
            raise TypeError(f"{name}/{key}: {error}") from error
