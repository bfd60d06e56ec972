"""Artifact stores, one class each, behind one protocol: list the files of an artifact, read a range of a file.

A store neither writes files nor retries; `transfer.py` does both for all of them. It maps errors of its client library
to `SidecarError`. An instance is made for one artifact and one set of credentials.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from controller.sidecar.errors import Code, SidecarError

UNKNOWN = -1
"""Size of a file whose store does not state it."""

MAX_FILES = 256
"""Per artifact; an adapter has a few."""

_SUFFIXES = (".json", ".safetensors", ".txt", ".model", ".jinja")
_WEIGHTS = ("adapter_model.bin", "adapter_model.pt")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file in a store.

    Attributes:
        path: path in the folder of the adapter, not yet checked to be safe.
        size: bytes, or UNKNOWN.
        key: key of the object, or URL.
        tag: version of the file (ETag, generation, commit); ranges of another version are refused.
        checksum: `sha256:HEX`, `md5:HEX`, `crc32:HEX` or `crc32c:HEX`; empty if the store has none.
    """

    path: str
    size: int
    key: str = field(repr=False)
    tag: str = ""
    checksum: str = ""


@dataclass(frozen=True, slots=True)
class FileList:
    """Files of an artifact.

    Attributes:
        files: the files that an engine needs.
        version: changes with the files; usable as a folder name.
        is_archive: the only file is an archive.
    """

    files: tuple[RemoteFile, ...]
    version: str
    is_archive: bool = False

    @property
    def size(self) -> int:
        """Bytes of all files of known size."""
        return sum(max(file.size, 0) for file in self.files)


Sink = Callable[[bytes], None]
"""Receives the next bytes of a range; may be called from another thread, raises to stop the read."""


class Store(Protocol):
    """Store of one artifact. Methods raise `SidecarError`."""

    async def listing(self) -> FileList:
        """Return the files; fails if access is denied."""
        ...

    async def read(self, file: RemoteFile, start: int, end: int, sink: Sink) -> None:
        """Pass the bytes from `start` up to `end` (UNKNOWN: the end of the file) to `sink`.

        May return early; the caller requests the rest again.
        """
        ...

    async def close(self) -> None:
        """Close idle connections; running reads continue."""
        ...


def is_needed(path: str) -> bool:
    """An engine needs this file: it is in the adapter's folder itself and not training state."""
    return "/" not in path and not path.startswith(".") and (path.endswith(_SUFFIXES) or path in _WEIGHTS)


_NAMES = frozenset(
    {
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "archive",
        *_WEIGHTS,
    }
)


def shown_name(path: str) -> str:
    """Return the name of a file for messages: a usual one, or no name.

    Names come from a document that the store sent. It may be another document than a list of files, which the author
    of a ModelAdapter must not be able to read line by line.
    """
    return path if path in _NAMES else "a file"


def file_list(files: list[RemoteFile], version: str = "") -> FileList:
    """Return the list of files; without a version of the store it is computed from the files."""
    if len(files) > MAX_FILES:
        raise SidecarError(Code.ARTIFACT_TOO_LARGE, f"the artifact has more than {MAX_FILES} files")
    files = sorted(files, key=lambda file: file.path)
    if not version:
        state = "\n".join(f"{file.path}\t{file.size}\t{file.tag or file.checksum}" for file in files)
        version = sha256(state.encode()).hexdigest()
    return FileList(files=tuple(files), version=version[:40])
