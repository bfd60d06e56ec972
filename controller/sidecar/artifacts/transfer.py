"""How the files of an artifact come in: in parts, several at once, each taken up again where it broke off.

Parts of all transfers share one number of connections. What has arrived is remembered by part, so that a transfer
whose store went away can be run again later and asks for the rest alone. A file is complete when it has the size
and, where the store gives one, the checksum that were listed.
"""

import asyncio
import errno
import hashlib
import os
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

from controller.sidecar.artifacts.archive import safe_join
from controller.sidecar.artifacts.stores import UNKNOWN, FileList, RemoteFile, Sink, Store
from controller.sidecar.errors import Code, SidecarError

_PART_SIZE = 16 << 20
_BREAKS = 5
"""Breaks in a row without progress between them before the store is taken to be down."""
_PROGRESS = 1 << 16  # bytes
FIRST_WAIT = 0.25  # seconds; doubled at each break in a row
_LONGEST_WAIT = 10.0  # seconds that a store may ask to wait; beyond that whoever asked for the load tries again
_SLOWEST = 1 << 16  # bytes a second, below which a part is asked for anew
_WORTH_A_RETRY = (Code.STORE_UNAVAILABLE, Code.STORE_TIMEOUT)
_CHUNK = 1 << 20


class Transfer:
    """One listing on its way into one folder. `run` may be called again after it failed."""

    def __init__(
        self,
        listing: FileList,
        folder: Path,
        connections: asyncio.Semaphore,
        limit: int,
        first_wait: float = FIRST_WAIT,
    ) -> None:
        self.listing = listing
        self.folder = folder
        self._connections = connections
        self._limit = limit
        self._first_wait = first_wait
        self._lock = threading.Lock()
        self._arrived = 0
        self._parts = {file: _parts(file, safe_join(folder, file.path), self._count) for file in listing.files}

    @property
    def arrived(self) -> int:
        """Bytes that are on the disk."""
        return self._arrived

    async def run(self, store: Store) -> None:
        """Brings what is missing.

        Raises:
            SidecarError: it cannot be had, or not now.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                for file, parts in self._parts.items():
                    tasks.create_task(self._bring(store, file, parts))
        except BaseExceptionGroup as group:
            raise _first(group) from None

    async def _bring(self, store: Store, file: RemoteFile, parts: list["_Part"]) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                for part in parts:
                    tasks.create_task(self._bring_part(store, file, part))
        finally:
            for part in parts:
                part.stop()
        await asyncio.to_thread(_verify, file, parts[0].path)

    async def _bring_part(self, store: Store, file: RemoteFile, part: "_Part") -> None:
        breaks = 0
        while not part.is_complete():
            if breaks:
                await asyncio.sleep(self._first_wait * 2 ** (breaks - 1))
            before = part.at
            failure = SidecarError(
                Code.ARTIFACT_CORRUPT, f"{file.path} ends after {part.at} bytes, its store says {file.size}"
            )
            async with self._connections:
                try:
                    async with asyncio.timeout(part.patience):
                        await store.read(file, part.at, part.end, part.attempt())
                except TimeoutError:
                    failure = SidecarError(Code.STORE_TIMEOUT, f"{file.path} comes in too slowly")
                except SidecarError as error:
                    if error.code not in _WORTH_A_RETRY:
                        raise
                    failure = error
                else:
                    part.ended()
            breaks = 1 if part.at - before >= _PROGRESS else breaks + 1
            if breaks > _BREAKS or failure.retry_after > _LONGEST_WAIT:
                raise failure
            await asyncio.sleep(failure.retry_after)

    def _count(self, size: int) -> None:
        with self._lock:
            self._arrived += size
            if self._arrived > self._limit:
                raise SidecarError(Code.ARTIFACT_TOO_LARGE, f"the artifact is larger than {self._limit} bytes")


class _Part:
    """A range of a file, and how far it has come. It is written from threads that nobody can stop."""

    def __init__(self, path: Path, start: int, end: int, count: Callable[[int], None]) -> None:
        self.path = path
        self.at = start
        self.end = end
        """UNKNOWN: up to the end of the file, wherever that is."""
        self._complete = start == end
        self._count = count
        self._lock = threading.Lock()
        self._fd = -1
        self._attempts = 0

    def is_complete(self) -> bool:
        return self._complete

    @property
    def patience(self) -> float | None:
        """Seconds that a read may take; a read of unknown length is bounded by its silences alone."""
        return None if self.end == UNKNOWN else 60.0 + (self.end - self.at) / _SLOWEST

    def attempt(self) -> Sink:
        """Where the next read writes; whatever an earlier one may still send is refused from now on."""
        with self._lock:
            if self._fd < 0:
                self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
            self._attempts += 1
            number = self._attempts
        return lambda data: self._take(number, data)

    def _take(self, attempt: int, data: bytes) -> None:
        """Writes the next bytes.

        Raises:
            SidecarError: they are more than was asked for, or no longer wanted, or the disk is full.
        """
        with self._lock:
            if self._fd < 0 or attempt != self._attempts:
                raise SidecarError(Code.STORE_UNAVAILABLE, "the transfer was stopped")
            if self.end != UNKNOWN and self.at + len(data) > self.end:
                raise SidecarError(Code.ARTIFACT_CORRUPT, f"{self.path.name} is longer than its store says")
            self._count(len(data))
            try:
                view = memoryview(data)
                while view:
                    written = os.pwrite(self._fd, view, self.at)
                    view, self.at = view[written:], self.at + written
            except OSError as error:
                raise disk_error(error) from None
            self._complete = self.at == self.end

    def ended(self) -> None:
        """The store has nothing more of this part."""
        if self.end == UNKNOWN:
            self._complete = True

    def stop(self) -> None:
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
            self._fd = -1


def disk_error(error: OSError) -> SidecarError:
    """What a failed write means."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SidecarError(Code.DISK_FULL, "no space is left on the disk for adapters")
    return SidecarError(Code.INTERNAL, f"the disk for adapters cannot be written ({error.strerror})")


def _parts(file: RemoteFile, path: Path, count: Callable[[int], None]) -> list[_Part]:
    if file.size <= _PART_SIZE:  # small, empty, or of unknown size
        return [_Part(path, 0, file.size, count)]
    starts = range(0, file.size, _PART_SIZE)
    return [_Part(path, start, min(start + _PART_SIZE, file.size), count) for start in starts]


def _verify(file: RemoteFile, path: Path) -> None:
    """Compares a file with what was listed."""
    path.touch()  # an empty file has no part that would have made it
    size = path.stat().st_size
    if file.size not in (UNKNOWN, size):
        raise SidecarError(Code.ARTIFACT_CORRUPT, f"{file.path} has {size} bytes, its store says {file.size}")
    kind, _, wanted = file.checksum.partition(":")
    if wanted and _digest(path, kind) != wanted.lower():
        raise SidecarError(Code.ARTIFACT_CORRUPT, f"{file.path} does not have the {kind} checksum that its store gives")


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        if kind in ("sha256", "md5"):
            return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
        if kind == "crc32c":
            from google_crc32c import Checksum  # comes with the client of the one store that gives these

            checksum = Checksum()
            while chunk := file.read(_CHUNK):
                checksum.update(chunk)
            return str(checksum.digest().hex())
        value = 0
        while chunk := file.read(_CHUNK):
            value = zlib.crc32(chunk, value)
        return f"{value:08x}"


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error to report: a final one rather than one that may pass."""
    errors: list[BaseException] = []
    pending: list[BaseException] = [group]
    while pending:
        error = pending.pop()
        if isinstance(error, BaseExceptionGroup):
            pending.extend(error.exceptions)
        else:
            errors.append(disk_error(error) if isinstance(error, OSError) else error)
    return min(errors, key=lambda error: isinstance(error, SidecarError) and error.retriable)
