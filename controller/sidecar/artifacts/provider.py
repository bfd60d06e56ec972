"""Provides artifacts as folders that the engine can read: combines store, transfer, validation and cache.

Each request lists the artifact's files at the store, which also verifies access; files are fetched only if this version
is not in the cache. While the store is unavailable the cache is used: for public artifacts, and for private ones with
credentials that the store has accepted before.

`ArtifactProvider` is a seam: the twin implements it with an artifact registry in virtual time.
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
from controller.sidecar.artifacts.facts import ArtifactFacts, facts_of_folder
from controller.sidecar.artifacts.progress import DownloadTracker
from controller.sidecar.artifacts.remote_facts import read_remote_facts
from controller.sidecar.artifacts.singleflight import SingleFlight
from controller.sidecar.artifacts.stores import FileList, Store
from controller.sidecar.artifacts.stores.factory import Stores
from controller.sidecar.artifacts.transfer import FIRST_WAIT, Transfer, disk_error
from controller.sidecar.artifacts.url import Artifact
from controller.sidecar.artifacts.validation import check_adapter
from controller.sidecar.errors import Code, SidecarError

LoadedPaths = Callable[[], Awaitable[Collection[str] | None]]
"""Returns the paths that the engine has loaded; None if it does not respond."""

_MAX_PROOFS = 4
"""Accepted credentials that are remembered per artifact; more than one because they are rotated."""
_LIST_SECONDS = 180.0
_MAX_PAUSED = 4
"""Interrupted transfers that are kept for the next attempt."""
_TRANSIENT = (Code.STORE_UNAVAILABLE, Code.STORE_TIMEOUT)


class ArtifactProvider(Protocol):
    """Provides artifacts where the engine can read them. Methods raise `SidecarError`."""

    def fetch(
        self, name: str, artifact: Artifact, credentials: Credentials, loaded: LoadedPaths
    ) -> AbstractAsyncContextManager[str]:
        """Return the path of the artifact, which is not deleted while the context lasts."""
        ...

    async def facts(self, artifact: Artifact, credentials: Credentials) -> ArtifactFacts:
        """Return what is known about an artifact without fetching its weights."""
        ...

    def digest_of(self, root: str) -> str:
        """Return the digest of the artifact at a path; empty if this provider did not fetch it."""
        ...

    async def delete(self, adapter: str, loaded: LoadedPaths) -> None:
        """Delete the artifact of an adapter that is unloaded, unless another adapter uses it."""
        ...

    async def close(self) -> None:
        """Cancel all fetches."""
        ...


class StoreArtifactProvider:
    """Fetches artifacts from stores into the cache of a pod."""

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
        self._proven: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=_MAX_PROOFS))
        self._room = asyncio.Lock()

    @asynccontextmanager
    async def fetch(
        self, name: str, artifact: Artifact, credentials: Credentials, loaded: LoadedPaths
    ) -> AsyncIterator[str]:
        if artifact.store == "file":
            yield await asyncio.to_thread(self._local, artifact)
            return
        credentials = self._or_mounted(credentials)
        key = (artifact.url, credentials.fingerprint)
        self._cache.add_reference(name, artifact.digest)  # first, so that `delete` also covers an interrupted fetch
        while True:
            try:
                entry = await self._finding.do(key, lambda: self._find(artifact, credentials, loaded))
            except SidecarError:
                self._cache.drop_reference(name)
                raise
            with self._cache.pinned(entry) as is_cached:
                if not is_cached:  # evicted in the meantime
                    continue
                yield str(entry.path)
                return

    async def facts(self, artifact: Artifact, credentials: Credentials) -> ArtifactFacts:
        if artifact.store == "file":
            return await asyncio.to_thread(self._local_facts, artifact)
        return await self._store_facts(artifact, self._or_mounted(credentials))

    def digest_of(self, root: str) -> str:
        return self._cache.digest_of(root)

    async def delete(self, adapter: str, loaded: LoadedPaths) -> None:
        await self._cache.delete(adapter, await loaded())

    async def close(self) -> None:
        await self._finding.close()
        await self._fetching.close()

    def _or_mounted(self, credentials: Credentials) -> Credentials:
        """Return credentials of a request, or those of the mounted Secret if it has none."""
        return mounted(self._mount) if not credentials.values and self._mount is not None else credentials

    def _local(self, artifact: Artifact) -> str:
        """Return the path of a folder that is not managed by the sidecar; checked only if the sidecar can see it."""
        path = self._outside(artifact)
        if path.exists():
            check_adapter(path)
        return artifact.path

    def _local_facts(self, artifact: Artifact) -> ArtifactFacts:
        try:
            return facts_of_folder(self._outside(artifact))
        except OSError:  # the engine may see it
            return ArtifactFacts()

    def _outside(self, artifact: Artifact) -> Path:
        """Return the path of a folder.

        Raises:
            SidecarError: it is one of the cache.
        """
        path = Path(artifact.path)
        if path.resolve().is_relative_to(self._cache.root.resolve()):
            raise SidecarError(Code.INVALID_URL, "this folder belongs to the sidecar: use the artifact's own URL")
        return path

    async def _store_facts(self, artifact: Artifact, credentials: Credentials) -> ArtifactFacts:
        """Return the facts of the version that the store has now; of an archive only once it is in the cache."""
        store = await self._stores.open(artifact, credentials)
        try:
            listing = await _listing(store, artifact)
            entry = self._cache.find(artifact.digest, listing.version)
            if entry is not None:
                return await asyncio.to_thread(facts_of_folder, entry.path)
            async with self._connections:
                return await read_remote_facts(store, listing)
        except OSError:
            return ArtifactFacts()
        finally:
            await store.close()

    async def _find(self, artifact: Artifact, credentials: Credentials, loaded: LoadedPaths) -> CachedArtifact:
        store = await self._stores.open(artifact, credentials)
        try:
            try:
                listing = await _listing(store, artifact)
            except SidecarError as error:
                if error.code not in _TRANSIENT:
                    self._drop_proof(artifact.digest, credentials)
                    raise
                return self._from_cache(artifact, credentials, error)
            self._record_proof(artifact.digest, credentials)
            key = (artifact.digest, listing.version)
            private = bool(credentials.values) and not credentials.mounted
            return await self._fetching.do(key, lambda: self._get(artifact, listing, store, private, loaded))
        finally:
            await store.close()

    def _record_proof(self, digest: str, credentials: Credentials) -> None:
        if credentials.fingerprint not in self._proven[digest]:
            self._proven[digest].append(credentials.fingerprint)

    def _drop_proof(self, digest: str, credentials: Credentials) -> None:
        if credentials.fingerprint in self._proven[digest]:
            self._proven[digest].remove(credentials.fingerprint)

    def _from_cache(self, artifact: Artifact, credentials: Credentials, error: SidecarError) -> CachedArtifact:
        entry = self._cache.latest(artifact.digest)
        if entry is None or (entry.private and credentials.fingerprint not in self._proven[artifact.digest]):
            raise error
        self._log.warning("store unavailable, using the cache", artifact=artifact.redacted, code=error.code.word)
        self._downloads.record_cache_hit()
        return entry

    async def _get(
        self, artifact: Artifact, listing: FileList, store: Store, private: bool, loaded: LoadedPaths
    ) -> CachedArtifact:
        """Return this version of the artifact, from the cache or fetched."""
        entry = self._cache.find(artifact.digest, listing.version)
        if entry is not None:
            try:
                await asyncio.to_thread(check_adapter, entry.path)
            except (SidecarError, OSError):
                self._log.warning("files in the cache are corrupt", artifact=artifact.redacted)
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
        await self._reserve(transfer, loaded)
        try:
            await transfer.run(store)
            if transfer.listing.is_archive:
                folder = await self._unpack(transfer, loaded)
            await asyncio.to_thread(check_adapter, folder)
            return self._cache.commit(folder, *key, private)
        except SidecarError as error:
            if error.code in _TRANSIENT:
                self._pause(key, transfer)
            raise
        finally:
            self._cache.release_reservation(transfer.folder)
            if self._paused.get(key) is not transfer:
                await asyncio.to_thread(self._cache.discard, transfer.folder, folder)

    async def _reserve(self, transfer: Transfer, loaded: LoadedPaths) -> None:
        """Evict artifacts if necessary and reserve the space."""
        size = transfer.listing.size * (2 if transfer.listing.is_archive else 1)  # the archive and its files
        try:
            async with self._room:
                await self._make_room(size, loaded)
                self._cache.reserve(transfer.folder, size)
        except BaseException:
            self._cache.discard(transfer.folder)
            raise

    async def _unpack(self, transfer: Transfer, loaded: LoadedPaths) -> Path:
        """Unpack the archive, delete it and return the folder of its files."""
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
        while len(self._paused) > _MAX_PAUSED:
            self._cache.discard(self._paused.popitem(last=False)[1].folder)


async def _listing(store: Store, artifact: Artifact) -> FileList:
    """Return the files of an artifact; a store that sends its list slowly has a limit for all of it."""
    try:
        async with asyncio.timeout(_LIST_SECONDS):
            return await store.listing()
    except TimeoutError:
        raise SidecarError(Code.STORE_TIMEOUT, f"{artifact.redacted}: the store does not respond in time") from None
