"""One small class a store, behind one protocol: say which files an artifact has, read a range of one.

A store neither writes files nor retries: it maps its provider's errors to `SidecarError` (`errors.py`), and
`transfer.py` does the rest for all of them alike. Each is made for one artifact and one set of credentials, which
it forgets with itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from controller.sidecar.errors import Code, SidecarError

UNKNOWN = -1
"""Size of a file whose store does not say it."""

MOST_FILES = 256
"""In one artifact: an adapter has a handful."""

_WANTED = (".json", ".safetensors", ".txt", ".model", ".jinja")
_WEIGHTS = ("adapter_model.bin", "adapter_model.pt")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as its store knows it."""

    path: str
    """Relative to the adapter's folder; not yet checked to be safe."""
    size: int
    key: str = field(repr=False)
    """What the store needs to find it: an object's key, a URL."""
    tag: str = ""
    """Of the state that was listed (ETag, generation, commit): a range of another state is refused."""
    checksum: str = ""
    """`sha256:HEX`, `md5:HEX`, `crc32:HEX` or `crc32c:HEX`, where the store gives one."""


@dataclass(frozen=True, slots=True)
class FileList:
    """What an artifact consists of at one moment."""

    files: tuple[RemoteFile, ...]
    version: str
    """Changes whenever the files do; safe as a folder's name."""
    is_archive: bool = False
    """Whether the one file has to be unpacked."""

    @property
    def size(self) -> int:
        return sum(max(file.size, 0) for file in self.files)


Sink = Callable[[bytes], None]
"""Takes the next bytes of a range; may be called from another thread, and raises to stop the reading."""


class Store(Protocol):
    """One artifact's store. Every method raises `SidecarError` and nothing else of its own."""

    async def listing(self) -> FileList:
        """Which files there are; this is where access is refused if it is."""
        ...

    async def read(self, file: RemoteFile, start: int, end: int, sink: Sink) -> None:
        """Hands the bytes from `start` up to `end` (or the end of the file, if its size is unknown) to `sink`.

        Returning early is allowed: what is missing is asked for again.
        """
        ...

    async def close(self) -> None:
        """Lets go of idle connections; reads under way go on."""
        ...


def wanted(path: str) -> bool:
    """Whether an engine needs this file: those of an adapter's own folder that are no training state."""
    return "/" not in path and not path.startswith(".") and (path.endswith(_WANTED) or path in _WEIGHTS)


def listing_of(files: list[RemoteFile], version: str = "") -> FileList:
    """The listing of a folder; its version is that of its files if the store has none of its own."""
    if len(files) > MOST_FILES:
        raise SidecarError(Code.ARTIFACT_TOO_LARGE, f"the artifact has more than {MOST_FILES} files")
    files = sorted(files, key=lambda file: file.path)
    if not version:
        state = "\n".join(f"{file.path}\t{file.size}\t{file.tag or file.checksum}" for file in files)
        version = sha256(state.encode()).hexdigest()
    return FileList(files=tuple(files), version=version[:40])
