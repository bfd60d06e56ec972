"""Safe paths and safe unpacking of archives.

Unsafe names are not repaired: a name that leads out of its folder makes the whole artifact unsafe.
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

from controller.sidecar.artifacts.stores import is_needed, shown_name
from controller.sidecar.errors import Code, SidecarError

MAX_MEMBERS = 1024
_CHUNK = 1 << 20
_MAX_READ = 1 << 20
_MAX_NAME_BYTES = 255
_ARCHIVE_ERRORS = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    ValueError,
    NotImplementedError,
)


def safe_join(folder: Path, name: str) -> Path:
    """Return `folder/name` for an untrusted name.

    Raises:
        SidecarError: if the name is absolute, leads out of the folder or is not a file name.
    """
    parts = name.split("/")
    is_unsafe = any(part in ("", ".", "..") or len(part.encode(errors="replace")) > _MAX_NAME_BYTES for part in parts)
    is_unsafe |= any("\ud800" <= character <= "\udfff" for character in name)
    if is_unsafe or "\\" in name or any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise SidecarError(Code.ARTIFACT_UNSAFE, "the artifact has a file with an unsafe name")
    return folder.joinpath(*parts)


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    size: int
    source: tarfile.TarInfo | zipfile.ZipInfo


def unpack(archive: Path, folder: Path, limit: int) -> None:
    """Check the whole archive, then unpack the files of the adapter into `folder`.

    These are the files next to `adapter_config.json`, which may be in a folder of the archive.

    Raises:
        SidecarError: if the archive is corrupt, has links or unsafe names, or more than `limit` bytes.
    """
    try:
        with _open(archive, limit) as (members, read):
            _check(members, folder, limit)
            top = _top(members)
            for member in members:
                name = member.name.removeprefix(top)
                if member.name.startswith(top) and is_needed(name):
                    limit -= _copy(read, member, safe_join(folder, name), limit)
    except _ARCHIVE_ERRORS as error:
        raise SidecarError(Code.ARTIFACT_CORRUPT, f"the archive cannot be unpacked ({type(error).__name__})") from None
    except RuntimeError:
        raise SidecarError(Code.ARTIFACT_CORRUPT, "the archive is encrypted") from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # such as a full disk
            raise
        raise SidecarError(Code.ARTIFACT_CORRUPT, "the archive refers to offsets beyond its end") from None


class _Reader:
    """Opens members of tar and zip archives."""

    def __init__(self, archive: tarfile.TarFile | zipfile.ZipFile) -> None:
        self._archive = archive

    def open(self, member: _Member) -> IO[bytes]:
        if isinstance(self._archive, zipfile.ZipFile):
            assert isinstance(member.source, zipfile.ZipInfo), "members of a zip archive are ZipInfo"
            return self._archive.open(member.source)
        assert isinstance(member.source, tarfile.TarInfo), "members of a tar archive are TarInfo"
        file = self._archive.extractfile(member.source)
        assert file is not None, "only regular files are opened"
        return file


@contextmanager
def _open(path: Path, limit: int) -> Iterator[tuple[list[_Member], _Reader]]:
    if zipfile.is_zipfile(path):
        _check_member_count(path)
        with zipfile.ZipFile(path) as archive:
            yield [_zip_member(info) for info in archive.infolist() if not info.is_dir()], _Reader(archive)
        return
    with path.open("rb") as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
    with (
        gzip.open(path) if is_gzip else path.open("rb") as plain,
        tarfile.open(fileobj=_BoundedReader(plain), mode="r:") as archive,
    ):
        yield list(_tar_members(archive, limit)), _Reader(archive)


class _BoundedReader(io.BufferedReader):
    """A file with bounded reads: tarfile trusts the size in a header and would read it into memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _MAX_READ:
            raise tarfile.ReadError("a header is too long")
        return super().read(size)


def _check_member_count(path: Path) -> None:
    """Check the number of members in a zip archive before its directory is read into memory."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 65557, 0))  # the end record and the longest comment
        tail = file.read()
    offset = tail.rfind(b"PK\x05\x06")
    if int.from_bytes(tail[offset + 10 : offset + 12], "little") > MAX_MEMBERS:
        raise SidecarError(Code.ARTIFACT_TOO_LARGE, f"the archive has more than {MAX_MEMBERS} files")


def _tar_members(archive: tarfile.TarFile, limit: int) -> Iterator[_Member]:
    """Yield the members; stops with an error at the first one above a limit."""
    total = count = 0
    for info in archive:
        total, count = total + info.size, count + 1
        if total > limit or count > MAX_MEMBERS:
            raise SidecarError(
                Code.ARTIFACT_TOO_LARGE, f"the archive has more than {limit} bytes or {MAX_MEMBERS} files"
            )
        if not info.isdir():
            yield _tar_member(info)


def _zip_member(info: zipfile.ZipInfo) -> _Member:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise _unsafe(info.filename, "is not a regular file")
    return _Member(info.filename, info.file_size, info)


def _tar_member(info: tarfile.TarInfo) -> _Member:
    if not info.isreg() or info.issparse():
        raise _unsafe(info.name, "is not a regular file")
    return _Member(info.name.removeprefix("./"), info.size, info)


def _check(members: list[_Member], folder: Path, limit: int) -> None:
    if len(members) > MAX_MEMBERS:
        raise SidecarError(Code.ARTIFACT_TOO_LARGE, f"the archive has more than {MAX_MEMBERS} files")
    names = [member.name for member in members]
    for name in names:
        safe_join(folder, name)
    if len(set(names)) != len(names):
        raise SidecarError(Code.ARTIFACT_UNSAFE, "the archive has two files with the same name")
    total = sum(member.size for member in members)
    if total > limit:
        raise SidecarError(Code.ARTIFACT_TOO_LARGE, f"the archive has {total} bytes, {limit} are allowed")


def _top(members: list[_Member]) -> str:
    """Return the folder of the adapter with a trailing slash; empty for the top level."""
    configs = [member.name for member in members if member.name.rpartition("/")[2] == "adapter_config.json"]
    return min(configs, key=lambda name: (name.count("/"), name), default="").removesuffix("adapter_config.json")


def _copy(reader: _Reader, member: _Member, target: Path, limit: int) -> int:
    """Write a member and return its actual size, which its header may misstate."""
    written = 0
    with reader.open(member) as source, target.open("xb") as sink:
        while chunk := source.read(_CHUNK):
            written += len(chunk)
            if written > member.size or written > limit:
                raise SidecarError(Code.ARTIFACT_CORRUPT, f"the archive states a wrong size of {_shown(member)}")
            sink.write(chunk)
    if written != member.size:
        raise SidecarError(Code.ARTIFACT_CORRUPT, f"the archive ends within {_shown(member)}")
    return written


def _unsafe(name: str, why: str) -> SidecarError:
    return SidecarError(Code.ARTIFACT_UNSAFE, f"{shown_name(name)} in the archive {why}")


def _shown(member: _Member) -> str:
    return shown_name(member.name.rpartition("/")[2])
