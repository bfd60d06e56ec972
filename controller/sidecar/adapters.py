"""Loads and unloads adapters.

A load lists the engine's models, fetches the artifact and loads it on the engine. An unload unloads it on the engine
and deletes the artifact. Only the engine's list says what is loaded, so no state survives a restart and both requests
are idempotent. Requests for one name run one after another; a load continues after its client has disconnected.
"""

import asyncio
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from weakref import WeakValueDictionary

from structlog.typing import FilteringBoundLogger

from controller.engine.flavors import VLLM
from controller.sidecar.artifacts.credentials import Credentials
from controller.sidecar.artifacts.facts import ArtifactFacts
from controller.sidecar.artifacts.provider import ArtifactProvider
from controller.sidecar.artifacts.singleflight import Cancelled, SingleFlight
from controller.sidecar.artifacts.url import Artifact, parse
from controller.sidecar.engine import LocalEngine
from controller.sidecar.errors import Code, SidecarError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class LoadResult:
    """Result of a load.

    Attributes:
        name: name of the adapter.
        path: path that the engine loaded it from.
        already: the engine had it before.
    """

    name: str
    path: str
    already: bool


class AdapterService:
    """Adapters of the engine in this pod."""

    def __init__(self, engine: LocalEngine, provider: ArtifactProvider, log: FilteringBoundLogger) -> None:
        self._engine = engine
        self._provider = provider
        self._log = log
        self._loads: SingleFlight[LoadResult] = SingleFlight()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def load(self, name: str, url: str, credentials: Mapping[str, str], key: str) -> LoadResult:
        """Load the artifact of `url` as `name`; `key` is the `Authorization` header of the request."""
        _check_name(name)
        artifact = parse(url)
        secret = Credentials(credentials)
        request = (name, url, secret.fingerprint, key)
        try:
            return await self._loads.do(request, lambda: self._load(name, artifact, secret, key))
        except Cancelled:
            message = f"the load of {name} was cancelled by an unload"
            raise SidecarError(Code.SUPERSEDED, message) from None

    async def inspect(self, url: str, credentials: Mapping[str, str]) -> ArtifactFacts:
        """Return what is known about the artifact of `url` without loading it."""
        return await self._provider.facts(parse(url), Credentials(credentials))

    async def unload(self, name: str, clean: bool, key: str) -> bool:
        """Unload `name` and cancel loads of it; return whether it was loaded."""
        _check_name(name)
        self._loads.cancel(lambda request: isinstance(request, tuple) and request[0] == name)
        async with self._lock(name):
            was_loaded = await self._unload(name, key)
            if self._engine.dialect is VLLM:
                await self._engine.reset_prefix_cache(key)
            if clean:
                await self._provider.delete(name, lambda: self._roots(key))
        self._log.info("unloaded", adapter=name, was_loaded=was_loaded, cleaned=clean)
        return was_loaded

    def cancel(self) -> None:
        """Cancel all loads; their requests fail with `superseded`."""
        self._loads.cancel(lambda _: True)

    async def close(self) -> None:
        await self._loads.close()
        await self._provider.close()

    async def _load(self, name: str, artifact: Artifact, credentials: Credentials, key: str) -> LoadResult:
        log = self._log.bind(adapter=name, artifact=artifact.redacted)
        try:
            async with self._lock(name):
                root = (await self._engine.models(key)).get(name)
                if root is not None:
                    return LoadResult(name, self._loaded_path(name, root, artifact), already=True)
                async with self._provider.fetch(name, artifact, credentials, lambda: self._roots(key)) as path:
                    log.info("loading on the engine", path=path)
                    await self._load_on_engine(name, path, key)
        except SidecarError as error:
            log.warning("not loaded", code=error.code.word, error=error.message)
            raise
        log.info("loaded", path=path)
        return LoadResult(name, path, already=False)

    async def _load_on_engine(self, name: str, path: str, key: str) -> None:
        """Load on the engine; an error is ignored if the engine lists this adapter at this path afterwards."""
        try:
            await self._engine.load(name, path, key)
        except SidecarError as error:
            if error.code is not Code.ENGINE_REFUSED or (await self._engine.models(key)).get(name) != path:
                raise

    def _loaded_path(self, name: str, root: str, artifact: Artifact) -> str:
        """Return the listed path if it is that of this artifact."""
        digest = self._provider.digest_of(root)
        if digest == artifact.digest or (artifact.store == "file" and root == artifact.path):
            return root
        raise SidecarError(
            Code.NAME_TAKEN, f"the engine has another artifact loaded as {name}: unload that before loading this"
        )

    async def _unload(self, name: str, key: str) -> bool:
        try:
            await self._engine.unload(name, key)
        except SidecarError as error:
            if error.code is not Code.ENGINE_REFUSED:
                raise
            if name in await self._engine.models(key):
                raise
            return False
        return True

    async def _roots(self, key: str) -> Collection[str] | None:
        try:
            return set((await self._engine.models(key)).values())
        except SidecarError:
            return None

    def _lock(self, name: str) -> asyncio.Lock:
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        return lock


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise SidecarError(
            Code.INVALID_NAME,
            "lora_name has 1 to 128 letters, digits, dots, underscores and hyphens and begins with a letter or digit",
        )
