"""From an artifact's URL to a folder that an engine can read: store, transfer, check and cache put together.

The store is asked each time what the artifact consists of (that is also how access is proven), and files are
fetched only if this state of it is not here yet. While the store cannot be reached, what is here serves: public
artifacts anybody, private ones those whose very credentials the store has accepted before.

`ArtifactProvider` is a seam: in the twin an artifact registry in virtual time stands behind it.
"""

import asyncio
from collections import OrderedDict, defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

from structlog.typing import FilteringBoundLogger

from controller.sidecar.artifacts.archive import unpack
from controller.sidecar.artifacts.cache import ArtifactCache, CachedArtifact
from controller.sidecar.artifacts.credentials import Credentials, mounted
from controller.sidecar.artifacts.progress import DownloadTracker
from controller.sidecar.artifacts.singleflight import SingleFlight
from controller.sidecar.artifacts.stores import FileList, Store
from controller.sidecar.artifacts.stores.factory import Stores
from controller.sidecar.artifacts.transfer import FIRST_WAIT, Transfer, disk_error
from controller.sidecar.artifacts.url import Artifact
from controller.sidecar.artifacts.validation import check_adapter
from controller.sidecar.errors import Code, SidecarError

LoadedPaths = Callable[[], Awaitable[Collection[str] | None]]
"""Asks the engine for the paths that it has loaded; None if it does not say."""

_PROOFS = 4
"""Credentials by which one artifact was had, that are remembered; rotated ones come after another."""
_PAUSED = 4
"""Broken-off transfers that are kept for the next try."""
_PASSING = (Code.STORE_UNAVAILABLE, Code.STORE_TIMEOUT)


class ArtifactProvider(Protocol):
    """Gets artifacts to where the engine can read them. Methods raise `SidecarError` and nothing else of their own."""

    def fetch(
        self, name: str, artifact: Artifact, credentials: Credentials, loaded: LoadedPaths
    ) -> AbstractAsyncContextManager[str]:
        """The path of the complete artifact, which stays there as long as the context lasts."""
        ...

    def digest_of(self, root: str) -> str:
        """The identity of the artifact at a path that an engine lists; empty if it came from elsewhere."""
        ...

    async def delete(self, adapter: str, loaded: LoadedPaths) -> None:
        """The engine no longer has the name: removes what was brought for it alone."""
        ...

    async def close(self) -> None: ...


class StoreArtifactProvider:
    """The provider of a real pod."""

    def __init__(
        self,
        stores: Stores,
        cache: ArtifactCache,
        downloads: DownloadTracker,
        log: FilteringBoundLogger,
        *,
        largest: int,
        connections: int = 8,
        first_wait: float = FIRST_WAIT,
        mount: Path | None = None,
    ) -> None:
        self._stores = stores
        self._cache = cache
        self._downloads = downloads
        self._log = log
        self._largest = largest
        self._connections = asyncio.Semaphore(connections)
        self._first_wait = first_wait
        self._mount = mount
        self._finding: SingleFlight[CachedArtifact] = SingleFlight(keep=False)
        self._fetching: SingleFlight[CachedArtifact] = SingleFlight(keep=False)
        self._paused: OrderedDict[tuple[str, str], Transfer] = OrderedDict()
        self._proven: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=_PROOFS))
        self._room = asyncio.Lock()

    @asynccontextmanager
    async def fetch(
        self, name: str, artifact: Artifact, credentials: Credentials, loaded: LoadedPaths
    ) -> AsyncIterator[str]:
        if artifact.store == "file":
            yield await asyncio.to_thread(self._local, artifact)
            return
        if not credentials.values and self._mount is not None:
            credentials = mounted(self._mount)
        key = (artifact.url, credentials.fingerprint)
        self._cache.add_reference(
            name, artifact.digest
        )  # first, so that whatever comes of it is cleaned up with the name
        while True:
            try:
                entry = await self._finding.do(key, lambda: self._find(artifact, credentials, loaded))
            except SidecarError:
                self._cache.drop_reference(name)
                raise
            with self._cache.pinned(entry) as still_there:
                if not still_there:  # removed between the end of the work and now
                    continue
                yield str(entry.path)
                return

    def digest_of(self, root: str) -> str:
        return self._cache.digest_of(root)

    async def delete(self, adapter: str, loaded: LoadedPaths) -> None:
        await self._cache.delete(adapter, await loaded())

    async def close(self) -> None:
        await self._finding.close()
        await self._fetching.close()

    # -- inside

    def _local(self, artifact: Artifact) -> str:
        """A folder that somebody else provides; where only the engine sees it, the engine has to judge it."""
        path = Path(artifact.path)
        if path.resolve().is_relative_to(self._cache.root.resolve()):
            raise SidecarError(Code.INVALID_URL, "this folder is the sidecar's own: name the artifact by its store")
        if path.exists():
            check_adapter(path)
        return artifact.path

    async def _find(self, artifact: Artifact, credentials: Credentials, loaded: LoadedPaths) -> CachedArtifact:
        store = await self._stores.open(artifact, credentials)
        try:
            try:
                listing = await store.listing()
            except SidecarError as error:
                if error.code not in _PASSING:
                    self._doubt(artifact.digest, credentials)
                    raise
                return self._without_store(artifact, credentials, error)
            self._trust(artifact.digest, credentials)
            key = (artifact.digest, listing.version)
            private = bool(credentials.values) and not credentials.mounted
            return await self._fetching.do(key, lambda: self._have(artifact, listing, store, private, loaded))
        finally:
            await store.close()

    def _trust(self, digest: str, credentials: Credentials) -> None:
        if credentials.fingerprint not in self._proven[digest]:
            self._proven[digest].append(credentials.fingerprint)

    def _doubt(self, digest: str, credentials: Credentials) -> None:
        if credentials.fingerprint in self._proven[digest]:
            self._proven[digest].remove(credentials.fingerprint)

    def _without_store(self, artifact: Artifact, credentials: Credentials, error: SidecarError) -> CachedArtifact:
        entry = self._cache.latest(artifact.digest)
        if entry is None or (entry.private and credentials.fingerprint not in self._proven[artifact.digest]):
            raise error
        self._log.warning("store unavailable, using what is here", artifact=artifact.shown, code=error.code.word)
        self._downloads.record_cache_hit()
        return entry

    async def _have(
        self, artifact: Artifact, listing: FileList, store: Store, private: bool, loaded: LoadedPaths
    ) -> CachedArtifact:
        """This state of the artifact, out of the cache or fetched."""
        entry = self._cache.find(artifact.digest, listing.version)
        if entry is not None:
            try:
                await asyncio.to_thread(check_adapter, entry.path)
            except (SidecarError, OSError):
                self._log.warning("files in the cache are damaged", artifact=artifact.shown)
                await self._cache.remove(entry)
            else:
                self._downloads.record_cache_hit()
                return entry
        with self._downloads.track(artifact, listing) as download:
            key = (artifact.digest, listing.version)
            transfer = self._paused.pop(key, None) or self._transfer(key, listing)
            download.watch(transfer)
            try:
                return await self._fetch(key, transfer, store, private, loaded)
            except OSError as error:
                raise disk_error(error) from None

    def _transfer(self, key: tuple[str, str], listing: FileList) -> Transfer:
        limit = min(self._largest, self._cache.budget)
        if listing.size > limit:
            raise SidecarError(Code.ARTIFACT_TOO_LARGE, f"the artifact has {listing.size} bytes, {limit} are allowed")
        return Transfer(listing, self._cache.stage(*key), self._connections, limit, self._first_wait)

    async def _fetch(
        self, key: tuple[str, str], transfer: Transfer, store: Store, private: bool, loaded: LoadedPaths
    ) -> CachedArtifact:
        folder = transfer.folder
        await self._set_aside(transfer, loaded)
        try:
            await transfer.run(store)
            if transfer.listing.is_archive:
                folder = await self._unpacked(transfer, loaded)
            await asyncio.to_thread(check_adapter, folder)
            return self._cache.commit(folder, *key, private)
        except SidecarError as error:
            if error.code in _PASSING:
                self._pause(key, transfer)
            raise
        finally:
            self._cache.release_reservation(transfer.folder)
            if self._paused.get(key) is not transfer:
                await asyncio.to_thread(self._cache.discard, transfer.folder, folder)

    async def _set_aside(self, transfer: Transfer, loaded: LoadedPaths) -> None:
        """Makes room, and promises it before anybody else can take it."""
        size = transfer.listing.size * (2 if transfer.listing.is_archive else 1)  # weights don't compress
        try:
            async with self._room:
                await self._make_room(size, loaded)
                self._cache.reserve(transfer.folder, size)
        except BaseException:
            self._cache.discard(transfer.folder)
            raise

    async def _unpacked(self, transfer: Transfer, loaded: LoadedPaths) -> Path:
        """The folder of what was in the archive, which is no longer there."""
        archive = transfer.folder / transfer.listing.files[0].path
        folder = transfer.folder.with_name(f"{transfer.folder.name}-unpacked")
        self._cache.discard(folder)
        folder.mkdir()
        try:
            await asyncio.to_thread(unpack, archive, folder, min(self._largest, self._cache.budget))
            size = sum(path.stat().st_size for path in folder.rglob("*"))
            async with self._room:
                await self._make_room(max(size - transfer.listing.size, 0), loaded)
                self._cache.reserve(transfer.folder, size)
        except BaseException:
            self._cache.discard(folder)
            raise
        archive.unlink()
        return folder

    async def _make_room(self, size: int, loaded: LoadedPaths) -> None:
        if not self._cache.has_space(size):
            while self._paused:
                await asyncio.to_thread(self._cache.discard, self._paused.popitem(last=False)[1].folder)
        if not self._cache.has_space(size):
            await self._cache.evict_until(size, await loaded())

    def _pause(self, key: tuple[str, str], transfer: Transfer) -> None:
        self._paused[key] = transfer
        while len(self._paused) > _PAUSED:
            self._cache.discard(self._paused.popitem(last=False)[1].folder)
