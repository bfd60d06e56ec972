"""What comes from outside and becomes a path: names of remote files and of members of archives.

Nothing is repaired. A name that could lead out of its folder makes the whole artifact unsafe, for whoever wrote it
meant something that will not be there.
"""

import errno
import gzip
import io
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from controller.sidecar.artifacts.stores import wanted
from controller.sidecar.errors import Code, SidecarError

MOST_MEMBERS = 1024
_CHUNK = 1 << 20
_LONGEST_READ = 1 << 20
_LONGEST = 255
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    ValueError,
    NotImplementedError,
)


def safe_join(folder: Path, name: str) -> Path:
    """`folder/name`, where `name` is from outside.

    Raises:
        SidecarError: the name is absolute, leads out of the folder, or is none for a file.
    """
    parts = name.split("/")
    bad = any(part in ("", ".", "..") or len(part.encode()) > _LONGEST for part in parts)
    if bad or "\\" in name or any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise SidecarError(Code.ARTIFACT_UNSAFE, f"the artifact holds a file with an unsafe name: {name[:80]!r}")
    return folder.joinpath(*parts)


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    size: int
    source: tarfile.TarInfo | zipfile.ZipInfo


def unpack(archive: Path, folder: Path, limit: int) -> None:
    """Unpacks an adapter's files into `folder`, after all that the archive holds has been looked at.

    They are those beside `adapter_config.json`, wherever that is: archives often hold a folder rather than files.

    Raises:
        SidecarError: the archive is broken, holds links or unsafe names, or more than `limit` bytes.
    """
    try:
        with _opened(archive, limit) as (members, read):
            _check(members, folder, limit)
            top = _top(members)
            for member in members:
                name = member.name.removeprefix(top)
                if member.name.startswith(top) and wanted(name):
                    limit -= _copy(read, member, safe_join(folder, name), limit)
    except _BROKEN as error:
        raise SidecarError(Code.ARTIFACT_CORRUPT, f"the archive cannot be unpacked ({type(error).__name__})") from None
    except RuntimeError:
        raise SidecarError(Code.ARTIFACT_CORRUPT, "the archive is encrypted") from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # a full disk is no fault of the archive's
            raise
        raise SidecarError(Code.ARTIFACT_CORRUPT, "the archive points to places that it does not have") from None


class _Reader:
    """Opens members of either kind."""

    def __init__(self, archive: tarfile.TarFile | zipfile.ZipFile) -> None:
        self._archive = archive

    def open(self, member: _Member) -> IO[bytes]:
        if isinstance(self._archive, zipfile.ZipFile):
            assert isinstance(member.source, zipfile.ZipInfo), "members of a zip archive are ZipInfo"
            return self._archive.open(member.source)
        assert isinstance(member.source, tarfile.TarInfo), "members of a tar archive are TarInfo"
        found = self._archive.extractfile(member.source)
        assert found is not None, "only plain files are opened"
        return found


@contextmanager
def _opened(path: Path, limit: int) -> Iterator[tuple[list[_Member], _Reader]]:
    if zipfile.is_zipfile(path):
        _refuse_crowds(path)
        with zipfile.ZipFile(path) as zipped:
            yield [_zip_member(info) for info in zipped.infolist() if not info.is_dir()], _Reader(zipped)
        return
    with path.open("rb") as raw:
        zipped_tar = raw.read(2) == b"\x1f\x8b"
    with (
        gzip.open(path) if zipped_tar else path.open("rb") as plain,
        tarfile.open(fileobj=_BoundedReader(plain), mode="r:") as tarred,
    ):
        yield list(_tar_members(tarred, limit)), _Reader(tarred)


class _BoundedReader(io.BufferedReader):
    """A file that is not read in large gulps: tarfile takes a header's word for how long its extension is."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _LONGEST_READ:
            raise tarfile.ReadError("a header is too long")
        return super().read(size)


def _refuse_crowds(path: Path) -> None:
    """Looks at how many members a zip archive says it has before its directory is read into memory."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 65557, 0))  # the end record and the longest comment
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if int.from_bytes(tail[at + 10 : at + 12], "little") > MOST_MEMBERS:
        raise SidecarError(Code.ARTIFACT_TOO_LARGE, f"the archive has more than {MOST_MEMBERS} files")


def _tar_members(archive: tarfile.TarFile, limit: int) -> Iterator[_Member]:
    """The members one by one, so that a look at an archive ends where it holds too much."""
    total = count = 0
    for info in archive:
        total, count = total + info.size, count + 1
        if total > limit or count > MOST_MEMBERS:
            raise SidecarError(
                Code.ARTIFACT_TOO_LARGE, f"the archive has more than {limit} bytes or {MOST_MEMBERS} files"
            )
        if not info.isdir():
            yield _tar_member(info)


def _zip_member(info: zipfile.ZipInfo) -> _Member:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise _unsafe(info.filename, "is no plain file")
    return _Member(info.filename, info.file_size, info)


def _tar_member(info: tarfile.TarInfo) -> _Member:
    if not info.isreg() or info.issparse():
        raise _unsafe(info.name, "is no plain file")
    return _Member(info.name.removeprefix("./"), info.size, info)


def _check(members: list[_Member], folder: Path, limit: int) -> None:
    if len(members) > MOST_MEMBERS:
        raise SidecarError(Code.ARTIFACT_TOO_LARGE, f"the archive has more than {MOST_MEMBERS} files")
    names = [member.name for member in members]
    for name in names:
        safe_join(folder, name)
    if len(set(names)) != len(names):
        raise SidecarError(Code.ARTIFACT_UNSAFE, "the archive holds two files of one name")
    total = sum(member.size for member in members)
    if total > limit:
        raise SidecarError(Code.ARTIFACT_TOO_LARGE, f"the archive holds {total} bytes, {limit} are allowed")


def _top(members: list[_Member]) -> str:
    """`FOLDER/` in which the adapter is; nothing if it is not in one."""
    configs = [member.name for member in members if member.name.rpartition("/")[2] == "adapter_config.json"]
    return min(configs, key=lambda name: (name.count("/"), name), default="").removesuffix("adapter_config.json")


def _copy(reader: _Reader, member: _Member, target: Path, limit: int) -> int:
    """Writes a member, counting what really comes out of it rather than what its header says."""
    written = 0
    with reader.open(member) as source, target.open("xb") as sink:
        while chunk := source.read(_CHUNK):
            written += len(chunk)
            if written > member.size or written > limit:
                raise SidecarError(Code.ARTIFACT_CORRUPT, f"the archive lies about the size of {member.name[:80]!r}")
            sink.write(chunk)
    if written != member.size:
        raise SidecarError(Code.ARTIFACT_CORRUPT, f"the archive ends within {member.name[:80]!r}")
    return written


def _unsafe(name: str, why: str) -> SidecarError:
    return SidecarError(Code.ARTIFACT_UNSAFE, f"the archive's {name[:80]!r} {why}")
