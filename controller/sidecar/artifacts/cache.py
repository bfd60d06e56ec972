"""Cache of complete artifacts on the disk, within a budget of bytes.

    ROOT/DIGEST/VERSION/     files of an artifact, and `.artifact.json` with their sizes
    ROOT/.incoming/          incomplete artifacts and those being deleted; emptied at every start
    ROOT/.names/NAME         link to the artifact that was last requested for this adapter

Folders are added and removed by one rename, so that they are never visible in part; a killed sidecar leaves only files
in `.incoming`. Artifacts that the engine lists are never evicted: vLLM reads the files again after it evicted the
weights.
"""

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from controller.sidecar.errors import Code, SidecarError

_INCOMING = ".incoming"
_NAMES = ".names"
_MANIFEST = ".artifact.json"


class _Manifest(msgspec.Struct, frozen=True):
    """Content of `.artifact.json`."""

    files: dict[str, int]
    private: bool = False


@dataclass(frozen=True, slots=True)
class CachedArtifact:
    """A complete artifact on the disk.

    Attributes:
        path: its folder.
        size: bytes.
        private: fetched with credentials of a request.
    """

    path: Path
    size: int
    private: bool = field(default=False, compare=False)


class ArtifactCache:
    """The folder of artifacts. Only the engine uses it as well, and only to read."""

    def __init__(self, root: Path, budget: int, reserve: int = 0) -> None:
        self.root = root
        self.budget = budget
        self.evictions = 0
        self._reserve = reserve
        """Bytes of the disk that stay free, independent of the budget."""
        self._entries: dict[Path, CachedArtifact] = {}
        """Least recently used first."""
        self._pins: Counter[Path] = Counter()
        self._reserved: Counter[Path] = Counter()
        self._discarded = 0

    def open(self) -> None:
        """Create the folders, delete incomplete artifacts and index the complete ones."""
        for folder in (self.root / _INCOMING, self.root / _NAMES):
            folder.mkdir(parents=True, exist_ok=True)
        for leftover in (self.root / _INCOMING).iterdir():
            _remove(leftover)
        artifacts = []
        for folder in self.root.glob("[!.]*/*/"):
            size = _complete_size(folder)
            if size is None:
                _remove(folder)
            else:
                artifacts.append((folder.stat().st_mtime_ns, CachedArtifact(folder, size[0], size[1])))
        self._entries = {entry.path: entry for _, entry in sorted(artifacts, key=lambda pair: (pair[0], pair[1].path))}

    @property
    def used(self) -> int:
        """Bytes of artifacts and reservations."""
        return sum(entry.size for entry in self._entries.values()) + sum(self._reserved.values())

    @property
    def entries(self) -> Collection[CachedArtifact]:
        """All artifacts, least recently used first."""
        return self._entries.values()

    def find(self, digest: str, version: str) -> CachedArtifact | None:
        """Return this version of an artifact if it is complete."""
        entry = self._entries.get(self.root / digest / version)
        if entry is None:
            return None
        if _complete_size(entry.path) is None:  # changed from outside
            del self._entries[entry.path]
            return None
        return entry

    def latest(self, digest: str) -> CachedArtifact | None:
        """Return the most recently used version of an artifact."""
        folder = self.root / digest
        return next((entry for entry in reversed(self._entries.values()) if entry.path.parent == folder), None)

    def digest_of(self, root: str) -> str:
        """Return the digest of the artifact at a path; empty if it is not in this cache."""
        try:
            parts = Path(root).relative_to(self.root).parts
        except ValueError:
            return ""
        return parts[0] if len(parts) == 2 and not parts[0].startswith(".") else ""

    @contextmanager
    def pinned(self, entry: CachedArtifact) -> Iterator[bool]:
        """Protect an artifact from eviction and mark it as used; yields False if it is no longer there."""
        if entry.path not in self._entries:
            yield False
            return
        self._use(entry)
        self._pins[entry.path] += 1
        try:
            yield True
        finally:
            self._pins[entry.path] -= 1
            self._pins += Counter()  # drops the zeros

    def stage(self, digest: str, version: str) -> Path:
        """Return an empty folder for an incoming artifact."""
        folder = self.root / _INCOMING / f"{digest}-{version}"
        _remove(folder)
        folder.mkdir(parents=True)
        return folder

    def discard(self, *staged: Path) -> None:
        """Delete folders that are not committed."""
        for folder in staged:
            _remove(folder)

    def commit(self, staged: Path, digest: str, version: str, private: bool) -> CachedArtifact:
        """Move a complete folder into the cache."""
        files = {str(p.relative_to(staged)): p.stat().st_size for p in sorted(staged.rglob("*")) if p.is_file()}
        (staged / _MANIFEST).write_bytes(msgspec.json.encode(_Manifest(files, private)))
        target = self.root / digest / version
        target.parent.mkdir(exist_ok=True)
        if target.exists():
            self._discard_now(target)
        staged.rename(target)
        entry = CachedArtifact(target, sum(files.values()), private)
        self._use(entry)
        return entry

    def reserve(self, staged: Path, size: int) -> None:
        """Reserve bytes for an incoming artifact."""
        self._reserved[staged] = size

    def release_reservation(self, staged: Path) -> None:
        """Release the reservation of an incoming artifact."""
        self._reserved.pop(staged, None)

    def has_space(self, size: int) -> bool:
        """`size` more bytes fit into the budget and on the disk."""
        free = shutil.disk_usage(self.root).free
        return self.used + size <= self.budget and size + self._reserve <= free

    async def evict_until(self, size: int, loaded: Collection[str] | None) -> None:
        """Evict the least recently used artifacts until `size` more bytes fit.

        Args:
            size: bytes.
            loaded: paths that the engine lists; None if it did not respond, and then nothing is evicted.

        Raises:
            SidecarError: if they do not fit.
        """
        if size > self.budget:
            raise SidecarError(
                Code.ARTIFACT_TOO_LARGE, f"the artifact has {size} bytes, the cache is limited to {self.budget}"
            )
        while not self.has_space(size):
            victim = next((entry for entry in self._entries.values() if self._is_evictable(entry, loaded)), None)
            if victim is None:
                why = (
                    "the engine does not respond with its list of adapters"
                    if loaded is None
                    else "all others are in use"
                )
                raise SidecarError(
                    Code.DISK_FULL, f"no space for {size} more bytes, {self.used} of {self.budget} are used: {why}"
                )
            self.evictions += 1
            await self.remove(victim)

    async def remove(self, entry: CachedArtifact) -> None:
        """Delete an artifact."""
        self._entries.pop(entry.path, None)
        await asyncio.to_thread(_remove, self._move_out(entry.path))

    # -- references

    def add_reference(self, adapter: str, digest: str) -> None:
        """Record the artifact that an adapter uses."""
        link, fresh = self.root / _NAMES / adapter, self.root / _INCOMING / f"name-{adapter}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self.root / digest)
        fresh.replace(link)

    def drop_reference(self, adapter: str) -> None:
        """Drop the reference of an adapter whose artifact is not in the cache."""
        link = self.root / _NAMES / adapter
        if link.is_symlink() and not link.exists():
            link.unlink()

    async def delete(self, adapter: str, loaded: Collection[str] | None) -> None:
        """Drop the reference of an adapter and delete the artifact, unless another adapter uses it."""
        link = self.root / _NAMES / adapter
        if not link.is_symlink():
            return
        folder = link.readlink()
        link.unlink()
        if any(other.is_symlink() and other.readlink() == folder for other in link.parent.iterdir()):
            return
        for entry in [entry for entry in self._entries.values() if entry.path.parent == folder]:
            if self._is_evictable(entry, loaded):
                await self.remove(entry)

    def _use(self, entry: CachedArtifact) -> None:
        self._entries.pop(entry.path, None)
        self._entries[entry.path] = entry
        os.utime(entry.path)

    def _is_evictable(self, entry: CachedArtifact, loaded: Collection[str] | None) -> bool:
        return loaded is not None and not self._pins[entry.path] and str(entry.path) not in loaded

    def _move_out(self, folder: Path) -> Path:
        self._discarded += 1
        target = self.root / _INCOMING / f"removed-{self._discarded}"
        if folder.exists():
            folder.rename(target)
        if folder.parent.is_dir() and not any(folder.parent.iterdir()):
            folder.parent.rmdir()
        return target

    def _discard_now(self, folder: Path) -> None:
        self._entries.pop(folder, None)
        target = self.root / _INCOMING / f"replaced-{folder.parent.name}"
        _remove(target)
        folder.rename(target)
        _remove(target)


def _complete_size(folder: Path) -> tuple[int, bool] | None:
    """Return size and privacy of an artifact; None unless every file has its size."""
    try:
        manifest = msgspec.json.decode((folder / _MANIFEST).read_bytes(), type=_Manifest)
        complete = all((folder / name).stat().st_size == size for name, size in manifest.files.items())
    except (OSError, msgspec.MsgspecError, ValueError):
        return None
    return (sum(manifest.files.values()), manifest.private) if complete else None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
