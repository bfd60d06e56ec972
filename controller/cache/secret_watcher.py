"""Hears when a Secret changes that a refused adapter depends on, so that a mended one is tried at once.

Only such Secrets are followed, each by its name, and only as long as the refusal stands: none is ever listed. An
account that may not watch them still may `get` them: then they are looked at now and then. What is heard is the version
alone; values are read when they are needed (`credentials.py`).
"""

import asyncio
from collections.abc import Callable, Collection

from structlog.typing import FilteringBoundLogger

from controller.api.types import SECRETS
from controller.cache.secrets import Place, SecretCache
from controller.client.interface import Client, ClientError, Forbidden, NotFound

_AGAIN = 10.0
"""Seconds until a watch that has ended is begun anew, and between looks where watching is not allowed."""


class SecretWatcher:
    """One task a Secret. `wake` queues an adapter's key."""

    def __init__(
        self, cluster: Client, credentials: SecretCache, wake: Callable[[str], None], log: FilteringBoundLogger
    ) -> None:
        self._cluster = cluster
        self._credentials = credentials
        self._wake = wake
        self._log = log
        self._tasks: dict[Place, asyncio.Task[None]] = {}
        self._wanted: dict[Place, dict[str, None]] = {}
        """Adapters that each is followed for, in the order in which they came."""

    def want(self, adapter: str, places: Collection[Place], tasks: asyncio.TaskGroup) -> None:
        """From now on `adapter` is to hear of changes of these Secrets, and of no others."""
        for place in [place for place, keys in self._wanted.items() if adapter in keys and place not in places]:
            del self._wanted[place][adapter]
            if not self._wanted[place]:
                del self._wanted[place]
                self._tasks.pop(place).cancel()
        for place in places:
            self._wanted.setdefault(place, {})[adapter] = None
            if place not in self._tasks:
                self._tasks[place] = tasks.create_task(self._follow(place), name=f"secret {place[0]}/{place[1]}")

    async def _follow(self, place: Place) -> None:
        namespace, name = place
        while True:
            try:
                async for change in self._cluster.watch(SECRETS, resource_version="", namespace=namespace, name=name):
                    if change.type != "BOOKMARK":
                        meta = change.object.metadata
                        self._heard(place, "" if change.type == "DELETED" else meta.resource_version)
            except Forbidden:
                await self._look(place)
            except ClientError:
                pass  # begun anew, it shows what is there
            await asyncio.sleep(_AGAIN)

    async def _look(self, place: Place) -> None:
        try:
            self._heard(place, (await self._cluster.get(SECRETS, *place)).metadata.resource_version)
        except NotFound:
            self._heard(place, "")
        except ClientError:
            pass  # looked at again soon

    def _heard(self, place: Place, version: str) -> None:
        if not self._credentials.changed(place, version):
            return
        adapters = list(self._wanted.get(place, ()))
        said = "secret changed" if version else "secret deleted"
        self._log.info(said, secret=f"{place[0]}/{place[1]}", adapters=len(adapters))
        for adapter in adapters:
            self._wake(adapter)
