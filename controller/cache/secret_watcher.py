"""Watches the Secrets that refused adapters depend on, so that a corrected Secret is tried at once.

Each such Secret is watched by name, only while the refusal lasts; Secrets are never listed. If the operator's account
may not watch them but may `get` them, they are polled. Only versions are read here; values are read when they are
needed (`secrets.py`).
"""

import asyncio
from collections.abc import Callable, Collection

from structlog.typing import FilteringBoundLogger

from controller.api.types import SECRETS
from controller.cache.secrets import SecretCache, SecretKey
from controller.client.interface import Client, ClientError, Forbidden, NotFound

_INTERVAL = 10.0
"""Seconds until an ended watch is restarted, and between polls where watching is not allowed."""


class SecretWatcher:
    """One task per Secret, in the group `tasks`. `wake` queues an adapter's key."""

    def __init__(
        self,
        client: Client,
        secrets: SecretCache,
        wake: Callable[[str], None],
        tasks: asyncio.TaskGroup,
        log: FilteringBoundLogger,
    ) -> None:
        self._client = client
        self._secrets = secrets
        self._wake = wake
        self._tasks = tasks
        self._log = log
        self._watches: dict[SecretKey, asyncio.Task[None]] = {}
        self._adapters: dict[SecretKey, dict[str, None]] = {}
        """Adapters by Secret, in the order in which they were added."""

    def watch(self, adapter: str, secrets: Collection[SecretKey]) -> None:
        """Wake `adapter` when one of these Secrets changes, and no longer for other Secrets."""
        for secret in [secret for secret, keys in self._adapters.items() if adapter in keys and secret not in secrets]:
            del self._adapters[secret][adapter]
            if not self._adapters[secret]:
                del self._adapters[secret]
                self._watches.pop(secret).cancel()
        for secret in secrets:
            self._adapters.setdefault(secret, {})[adapter] = None
            if secret not in self._watches:
                self._watches[secret] = self._tasks.create_task(
                    self._follow(secret), name=f"secret {secret[0]}/{secret[1]}"
                )

    async def _follow(self, secret: SecretKey) -> None:
        namespace, name = secret
        while True:
            try:
                async for event in self._client.watch(SECRETS, resource_version="", namespace=namespace, name=name):
                    if event.type != "BOOKMARK":
                        meta = event.object.metadata
                        self._update(secret, "" if event.type == "DELETED" else meta.resource_version)
            except Forbidden:
                await self._poll(secret)
            except ClientError:
                pass  # a new watch starts with the current state
            await asyncio.sleep(_INTERVAL)

    async def _poll(self, secret: SecretKey) -> None:
        try:
            self._update(secret, (await self._client.get(SECRETS, *secret)).metadata.resource_version)
        except NotFound:
            self._update(secret, "")
        except ClientError:
            pass  # polled again soon

    def _update(self, secret: SecretKey, version: str) -> None:
        if not self._secrets.update_version(secret, version):
            return
        adapters = list(self._adapters.get(secret, ()))
        message = "secret changed" if version else "secret deleted"
        self._log.info(message, secret=f"{secret[0]}/{secret[1]}", adapters=len(adapters))
        for adapter in adapters:
            self._wake(adapter)
