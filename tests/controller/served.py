"""The twin's API server on loopback, for tests of a client on a real socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from controller.client.config import Kubeconfig
from controller.client.ratelimit import rate_limits
from controller.client.transport import Connection
from controller.clock import SystemClock
from tests.contract.worlds import crd
from twin.apiserver import Object, Store
from twin.apiserver.rest import ApiServer, AuditEvent, TokenAuthenticator, User
from twin.serve.kubeconfig import kubeconfig, write
from twin.serve.network.sockets import listening


@dataclass
class Served:
    """A store, its server and its users."""

    store: Store
    access: TokenAuthenticator
    folder: Path
    url: str = ""
    used: list[AuditEvent] = field(default_factory=list)

    def kubeconfig(self, user: User | None = None) -> Path:
        """Write a kubeconfig for a user, by default the administrator."""
        token = self.access.admin_token if user is None else self.access.issue(user)
        file = self.folder / f"kubeconfig-{user.name.replace(':', '-') if user else 'admin'}"
        write(file, kubeconfig(self.url, token))
        return file

    @asynccontextmanager
    async def connection(self, user: User | None = None) -> AsyncIterator[Connection]:
        access = Kubeconfig(str(self.kubeconfig(user)), "", SystemClock())
        async with Connection(access, limits=rate_limits(), timeout=10, rng=Random(0)) as connection:
            yield connection


@asynccontextmanager
async def serving(folder: Path, *, definition: Object | None = None) -> AsyncIterator[Served]:
    """Serve a store; `definition`: the CRD to install, or an empty object to install none."""
    clock = SystemClock()
    numbers = iter(range(100_000))
    store = Store(clock.now, lambda: f"{next(numbers):05d}")
    manifest: dict[str, Any] = crd() if definition is None else definition
    if manifest:
        store.register_crd(manifest)
    served = Served(store, TokenAuthenticator(), folder)
    api = ApiServer(store, served.access, clock.now, observer=served.used.append)
    async with listening(api) as address:
        served.url = address.url
        try:
            yield served
        finally:
            api.close()
