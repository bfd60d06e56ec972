"""Fetches the files of an artifact in parts, concurrently; an interrupted part is resumed.

All transfers share one limit of connections. Progress is recorded per part, so that a failed transfer can be run again
and fetches only the rest. A file is complete when it has the listed size and, if the store has one, the listed
checksum.
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
from controller.sidecar.artifacts.stores import UNKNOWN, FileList, RemoteFile, Sink, Store, shown_name
from controller.sidecar.errors import Code, SidecarError

_PART_SIZE = 16 << 20
_MAX_INTERRUPTIONS = 5
"""Interruptions in a row without progress after which the fetch fails."""
_PROGRESS_BYTES = 1 << 16
FIRST_WAIT = 0.25  # seconds; doubled with each interruption in a row
_MAX_RETRY_AFTER = 10.0  # seconds; a store that asks for more fails the fetch
_MIN_RATE = 1 << 16  # bytes per second, below which a part is requested again
_TRANSIENT = (Code.STORE_UNAVAILABLE, Code.STORE_TIMEOUT)
_CHUNK = 1 << 20


class Transfer:
    """Fetches the files of one artifact into one folder. `run` may be called again after it failed."""

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
        """Bytes on the disk."""
        return self._arrived

    async def run(self, store: Store) -> None:
        """Fetch the missing bytes.

        Raises:
            SidecarError: if the artifact cannot be fetched.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                for file, parts in self._parts.items():
                    tasks.create_task(self._fetch(store, file, parts))
        except BaseExceptionGroup as group:
            raise _first(group) from None

    async def _fetch(self, store: Store, file: RemoteFile, parts: list["_Part"]) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                for part in parts:
                    tasks.create_task(self._fetch_part(store, file, part))
        finally:
            for part in parts:
                part.stop()
        await asyncio.to_thread(_verify, file, parts[0].path)

    async def _fetch_part(self, store: Store, file: RemoteFile, part: "_Part") -> None:
        interruptions, name = 0, shown_name(file.path)
        while not part.is_complete():
            if interruptions:
                await asyncio.sleep(self._first_wait * 2 ** (interruptions - 1))
            offset = part.offset
            failure = SidecarError(
                Code.ARTIFACT_CORRUPT, f"{name} ends after {part.offset} bytes, the store states {file.size}"
            )
            async with self._connections:
                try:
                    async with asyncio.timeout(part.timeout):
                        await store.read(file, part.offset, part.end, part.attempt())
                except TimeoutError:
                    failure = SidecarError(Code.STORE_TIMEOUT, f"{name} is received too slowly")
                except SidecarError as error:
                    if error.code not in _TRANSIENT:
                        raise
                    failure = error
                else:
                    part.finish()
            interruptions = 1 if part.offset - offset >= _PROGRESS_BYTES else interruptions + 1
            if interruptions > _MAX_INTERRUPTIONS or failure.retry_after > _MAX_RETRY_AFTER:
                raise failure
            await asyncio.sleep(failure.retry_after)

    def _count(self, size: int) -> None:
        with self._lock:
            self._arrived += size
            if self._arrived > self._limit:
                raise SidecarError(Code.ARTIFACT_TOO_LARGE, f"the artifact is larger than {self._limit} bytes")


class _Part:
    """A range of a file and its progress. It is written from threads that cannot be stopped."""

    def __init__(self, path: Path, start: int, end: int, count: Callable[[int], None]) -> None:
        self.path = path
        self.offset = start
        self.end = end
        """Offset of the end; UNKNOWN for the end of a file of unknown size."""
        self._complete = start == end
        self._count = count
        self._lock = threading.Lock()
        self._fd = -1
        self._attempts = 0

    def is_complete(self) -> bool:
        """All bytes are on the disk."""
        return self._complete

    @property
    def timeout(self) -> float | None:
        """Seconds for one read; None for a read of unknown length, which has only the store's read timeout."""
        return None if self.end == UNKNOWN else 60.0 + (self.end - self.offset) / _MIN_RATE

    def attempt(self) -> Sink:
        """Return the sink of the next read; data of earlier reads is refused from now on."""
        with self._lock:
            if self._fd < 0:
                self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
            self._attempts += 1
            number = self._attempts
        return lambda data: self._write(number, data)

    def _write(self, attempt: int, data: bytes) -> None:
        """Write the next bytes.

        Raises:
            SidecarError: if the read is stopped, the data exceeds the range or the disk is full.
        """
        with self._lock:
            if self._fd < 0 or attempt != self._attempts:
                raise SidecarError(Code.STORE_UNAVAILABLE, "the transfer was stopped")
            if self.end != UNKNOWN and self.offset + len(data) > self.end:
                raise SidecarError(
                    Code.ARTIFACT_CORRUPT, f"{shown_name(self.path.name)} is longer than its store states"
                )
            self._count(len(data))
            try:
                view = memoryview(data)
                while view:
                    written = os.pwrite(self._fd, view, self.offset)
                    view, self.offset = view[written:], self.offset + written
            except OSError as error:
                raise disk_error(error) from None
            self._complete = self.offset == self.end

    def finish(self) -> None:
        """Record that the store has sent all of this part."""
        if self.end == UNKNOWN:
            self._complete = True

    def stop(self) -> None:
        """Close the file; running reads fail."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
            self._fd = -1


def disk_error(error: OSError) -> SidecarError:
    """Return the error for a failed write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SidecarError(Code.DISK_FULL, "no space left on the disk for adapters")
    return SidecarError(Code.INTERNAL, f"cannot write to the disk for adapters ({error.strerror})")


def _parts(file: RemoteFile, path: Path, count: Callable[[int], None]) -> list[_Part]:
    if file.size <= _PART_SIZE:  # small, empty, or of unknown size
        return [_Part(path, 0, file.size, count)]
    starts = range(0, file.size, _PART_SIZE)
    return [_Part(path, start, min(start + _PART_SIZE, file.size), count) for start in starts]


def _verify(file: RemoteFile, path: Path) -> None:
    """Check size and checksum of a file."""
    path.touch()  # an empty file has no parts
    size, name = path.stat().st_size, shown_name(file.path)
    if file.size not in (UNKNOWN, size):
        raise SidecarError(Code.ARTIFACT_CORRUPT, f"{name} has {size} bytes, the store states {file.size}")
    kind, _, expected = file.checksum.partition(":")
    if expected and _digest(path, kind) != expected.lower():
        raise SidecarError(Code.ARTIFACT_CORRUPT, f"{name} does not have the {kind} checksum of its store")


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        if kind in ("sha256", "md5"):
            return hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
        if kind == "crc32c":
            from google_crc32c import (
                Checksum,  # installed with the client of Google Cloud Storage, the only store with it
            )

            checksum = Checksum()
            while chunk := file.read(_CHUNK):
                checksum.update(chunk)
            return str(checksum.digest().hex())
        value = 0
        while chunk := file.read(_CHUNK):
            value = zlib.crc32(chunk, value)
        return f"{value:08x}"


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the error to report: a final one before a transient one."""
    errors: list[BaseException] = []
    pending: list[BaseException] = [group]
    while pending:
        error = pending.pop()
        if isinstance(error, BaseExceptionGroup):
            pending.extend(error.exceptions)
        else:
            errors.append(disk_error(error) if isinstance(error, OSError) else error)
    return min(errors, key=lambda error: isinstance(error, SidecarError) and error.retriable)
