"""Where fetched artifacts are kept: complete ones only, by identity, within a budget of bytes.

    ROOT/DIGEST/VERSION/     an adapter's files and `.artifact.json`, what they are
    ROOT/.incoming/          what is not complete, or being removed; emptied at every start
    ROOT/.names/NAME         a link to the artifact that was asked for under this name last, to clean up after it

A folder comes into place by one rename and leaves by one, so that there is no moment at which half of it could be
seen; a sidecar that is killed leaves nothing but rubbish in `.incoming`. What an engine lists is never removed:
vLLM reads an adapter's files again when its weights were pushed out of memory.
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
    """What a complete folder holds."""

    files: dict[str, int]
    private: bool = False


@dataclass(frozen=True, slots=True)
class CachedArtifact:
    """A complete artifact on the disk."""

    path: Path
    size: int
    private: bool = field(default=False, compare=False)
    """Whether it was fetched with somebody's credentials."""


class ArtifactCache:
    """The folder. Files are touched by nobody else but the engine, who reads them."""

    def __init__(self, root: Path, budget: int, reserve: int = 0) -> None:
        self.root = root
        self.budget = budget
        self.evictions = 0
        self._reserve = reserve
        """Bytes of the disk that stay free whatever the budget says."""
        self._entries: dict[Path, CachedArtifact] = {}
        """Least recently used first."""
        self._pins: Counter[Path] = Counter()
        self._reserved: Counter[Path] = Counter()
        self._discarded = 0

    def open(self) -> None:
        """Makes the folders, throws away what is not complete, and finds what is."""
        for folder in (self.root / _INCOMING, self.root / _NAMES):
            folder.mkdir(parents=True, exist_ok=True)
        for rubbish in (self.root / _INCOMING).iterdir():
            _remove(rubbish)
        found = []
        for folder in self.root.glob("[!.]*/*/"):
            size = _complete_size(folder)
            if size is None:
                _remove(folder)
            else:
                found.append((folder.stat().st_mtime_ns, CachedArtifact(folder, size[0], size[1])))
        self._entries = {entry.path: entry for _, entry in sorted(found, key=lambda pair: (pair[0], pair[1].path))}

    @property
    def used(self) -> int:
        """Bytes that are kept or promised."""
        return sum(entry.size for entry in self._entries.values()) + sum(self._reserved.values())

    @property
    def entries(self) -> Collection[CachedArtifact]:
        return self._entries.values()

    def find(self, digest: str, version: str) -> CachedArtifact | None:
        """This state of an artifact, if it is here and still whole."""
        entry = self._entries.get(self.root / digest / version)
        if entry is None:
            return None
        if _complete_size(entry.path) is None:  # somebody else has been at it
            del self._entries[entry.path]
            return None
        return entry

    def latest(self, digest: str) -> CachedArtifact | None:
        """The state of an artifact that was used last."""
        folder = self.root / digest
        return next((entry for entry in reversed(self._entries.values()) if entry.path.parent == folder), None)

    def digest_of(self, root: str) -> str:
        """The artifact of a path that an engine lists; empty if it is none of this cache's."""
        try:
            parts = Path(root).relative_to(self.root).parts
        except ValueError:
            return ""
        return parts[0] if len(parts) == 2 and not parts[0].startswith(".") else ""

    @contextmanager
    def pinned(self, entry: CachedArtifact) -> Iterator[bool]:
        """Keeps an entry, and marks it as used, while an engine is about to be told of it; False if it has gone."""
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
        """A folder for what comes in, empty."""
        folder = self.root / _INCOMING / f"{digest}-{version}"
        _remove(folder)
        folder.mkdir(parents=True)
        return folder

    def discard(self, *staged: Path) -> None:
        """Removes what did not become an entry."""
        for folder in staged:
            _remove(folder)

    def commit(self, staged: Path, digest: str, version: str, private: bool) -> CachedArtifact:
        """Puts a complete folder into its place."""
        files = {str(p.relative_to(staged)): p.stat().st_size for p in sorted(staged.rglob("*")) if p.is_file()}
        (staged / _MANIFEST).write_bytes(msgspec.json.encode(_Manifest(files, private)))
        place = self.root / digest / version
        place.parent.mkdir(exist_ok=True)
        if place.exists():
            self._discard_now(place)
        staged.rename(place)
        entry = CachedArtifact(place, sum(files.values()), private)
        self._use(entry)
        return entry

    def reserve(self, staged: Path, size: int) -> None:
        """Sets bytes aside for what is coming in."""
        self._reserved[staged] = size

    def release_reservation(self, staged: Path) -> None:
        """What was promised has come, or does not come."""
        self._reserved.pop(staged, None)

    def has_space(self, size: int) -> bool:
        """Whether so many more bytes have room as things are."""
        free = shutil.disk_usage(self.root).free
        return self.used + size <= self.budget and size + self._reserve <= free

    async def evict_until(self, size: int, loaded: Collection[str] | None) -> None:
        """Removes what was not used for longest until `size` more bytes fit.

        Args:
            loaded: paths that an engine lists; None if it could not be asked, and then nothing is removed.

        Raises:
            SidecarError: they would never fit, or not now.
        """
        if size > self.budget:
            raise SidecarError(
                Code.ARTIFACT_TOO_LARGE, f"the artifact has {size} bytes, the cache holds {self.budget} in all"
            )
        while not self.has_space(size):
            victim = next((entry for entry in self._entries.values() if self._idle(entry, loaded)), None)
            if victim is None:
                why = "the engine could not be asked what it has loaded" if loaded is None else "all else is in use"
                raise SidecarError(
                    Code.DISK_FULL, f"{size} more bytes do not fit beside {self.used} of {self.budget}: {why}"
                )
            self.evictions += 1
            await self.remove(victim)

    async def remove(self, entry: CachedArtifact) -> None:
        self._entries.pop(entry.path, None)
        rubbish = self._aside(entry.path)
        await asyncio.to_thread(_remove, rubbish)

    # -- names

    def add_reference(self, adapter: str, digest: str) -> None:
        """Remembers which artifact is wanted under a name."""
        link, fresh = self.root / _NAMES / adapter, self.root / _INCOMING / f"name-{adapter}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self.root / digest)
        fresh.replace(link)

    def drop_reference(self, adapter: str) -> None:
        """Forgets a name of which nothing came."""
        link = self.root / _NAMES / adapter
        if link.is_symlink() and not link.exists():
            link.unlink()

    async def delete(self, adapter: str, loaded: Collection[str] | None) -> None:
        """A name is no longer wanted: removes its artifact, unless another name has it too."""
        link = self.root / _NAMES / adapter
        if not link.is_symlink():
            return
        folder = link.readlink()
        link.unlink()
        if any(other.is_symlink() and other.readlink() == folder for other in link.parent.iterdir()):
            return
        for entry in [entry for entry in self._entries.values() if entry.path.parent == folder]:
            if self._idle(entry, loaded):
                await self.remove(entry)

    # -- inside

    def _use(self, entry: CachedArtifact) -> None:
        self._entries.pop(entry.path, None)
        self._entries[entry.path] = entry
        os.utime(entry.path)

    def _idle(self, entry: CachedArtifact, loaded: Collection[str] | None) -> bool:
        return loaded is not None and not self._pins[entry.path] and str(entry.path) not in loaded

    def _aside(self, folder: Path) -> Path:
        self._discarded += 1
        rubbish = self.root / _INCOMING / f"removed-{self._discarded}"
        if folder.exists():
            folder.rename(rubbish)
        if folder.parent.is_dir() and not any(folder.parent.iterdir()):
            folder.parent.rmdir()
        return rubbish

    def _discard_now(self, folder: Path) -> None:
        self._entries.pop(folder, None)
        rubbish = self.root / _INCOMING / f"replaced-{folder.parent.name}"
        _remove(rubbish)
        folder.rename(rubbish)
        _remove(rubbish)


def _complete_size(folder: Path) -> tuple[int, bool] | None:
    """Size and whether it is private, if every file is there in its size."""
    try:
        manifest = msgspec.json.decode((folder / _MANIFEST).read_bytes(), type=_Manifest)
        whole = all((folder / name).stat().st_size == size for name, size in manifest.files.items())
    except (OSError, msgspec.MsgspecError, ValueError):
        return None
    return (sum(manifest.files.values()), manifest.private) if whole else None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
