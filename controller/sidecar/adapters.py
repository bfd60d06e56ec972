"""What a load and an unload do, in order.

Load: ask the engine what it has; bring the artifact; tell the engine. Unload: tell the engine; clean up. What is
loaded is known from the engine alone, so nothing has to be remembered across restarts of either, and both may be
asked for again at any time. Requests about one name take turns; a load goes on when its caller has left.
"""

import asyncio
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from weakref import WeakValueDictionary

from structlog.typing import FilteringBoundLogger

from controller.sidecar.artifacts.credentials import Credentials
from controller.sidecar.artifacts.provider import ArtifactProvider
from controller.sidecar.artifacts.singleflight import Cancelled, SingleFlight
from controller.sidecar.artifacts.url import Artifact, parse
from controller.sidecar.engine import LocalEngine
from controller.sidecar.errors import Code, SidecarError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class LoadResult:
    """How a load ended."""

    name: str
    path: str
    already: bool
    """Whether the engine had it before."""


class AdapterService:
    """The adapters of this pod's engine."""

    def __init__(self, engine: LocalEngine, provider: ArtifactProvider, log: FilteringBoundLogger) -> None:
        self._engine = engine
        self._provider = provider
        self._log = log
        self._loads: SingleFlight[LoadResult] = SingleFlight()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def load(self, name: str, url: str, credentials: Mapping[str, str], key: str) -> LoadResult:
        """Has the engine serve the artifact of `url` as `name`; `key` is the caller's `Authorization`."""
        _check_name(name)
        artifact = parse(url)
        given = Credentials(credentials)
        flight = (name, url, given.fingerprint, key)
        try:
            return await self._loads.do(flight, lambda: self._load(name, artifact, given, key))
        except Cancelled:
            message = f"the load of {name} was given up, for an unload was asked for"
            raise SidecarError(Code.SUPERSEDED, message) from None

    async def unload(self, name: str, clean: bool, key: str) -> bool:
        """Has the engine forget `name`, and gives up loads of it; returns whether it was there."""
        _check_name(name)
        self._loads.cancel(lambda flight: isinstance(flight, tuple) and flight[0] == name)
        async with self._turn(name):
            was_there = await self._unload(name, key)
            if clean:
                await self._provider.delete(name, lambda: self._roots(key))
        self._log.info("unloaded", adapter=name, was_there=was_there, cleaned=clean)
        return was_there

    def cancel(self) -> None:
        """Gives up all loads; whoever waits for one hears of it."""
        self._loads.cancel(lambda _: True)

    async def close(self) -> None:
        await self._loads.close()
        await self._provider.close()

    async def _load(self, name: str, artifact: Artifact, credentials: Credentials, key: str) -> LoadResult:
        log = self._log.bind(adapter=name, artifact=artifact.shown)
        try:
            async with self._turn(name):
                root = (await self._engine.models(key)).get(name)
                if root is not None:
                    return LoadResult(name, self._same(name, root, artifact), already=True)
                async with self._provider.fetch(name, artifact, credentials, lambda: self._roots(key)) as path:
                    log.info("forwarding to the engine", path=path)
                    await self._load_on_engine(name, path, key)
        except SidecarError as error:
            log.warning("not loaded", code=error.code.word, error=error.message)
            raise
        log.info("loaded", path=path)
        return LoadResult(name, path, already=False)

    async def _load_on_engine(self, name: str, path: str, key: str) -> None:
        """Loads; that the engine has this very adapter by now is success, however it answers."""
        try:
            await self._engine.load(name, path, key)
        except SidecarError as error:
            if error.code is not Code.ENGINE_REFUSED or (await self._engine.models(key)).get(name) != path:
                raise

    def _same(self, name: str, root: str, artifact: Artifact) -> str:
        """The listed root, if it is of the wanted artifact."""
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
            root = (await self._engine.models(key)).get(name)
            if root is None:
                return False
            if error.status != 500 or not self._engine.dialect.loads_in_place:
                raise
            # vLLM 0.28 on: the weights were pushed out of its cache, and only a load brings the name within reach.
            await self._engine.load(name, root, key, in_place=True)
            await self._engine.unload(name, key)
        return True

    async def _roots(self, key: str) -> Collection[str] | None:
        try:
            return set((await self._engine.models(key)).values())
        except SidecarError:
            return None

    def _turn(self, name: str) -> asyncio.Lock:
        lock = self._turns.get(name)
        if lock is None:
            lock = self._turns[name] = asyncio.Lock()
        return lock


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise SidecarError(
            Code.INVALID_NAME,
            "lora_name has 1 to 128 letters, digits, dots, underscores and hyphens, and begins with a letter or digit",
        )
