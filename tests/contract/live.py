"""Worlds behind HTTP: the operator's client is `RestClient`, and other clients use the same server."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import httpx
import msgspec

from controller.api.types import MODEL_ADAPTERS, Kind, Resource
from controller.client.codec import Decoder
from controller.client.config import Kubeconfig
from controller.client.interface import Client, NotFound
from controller.client.ratelimit import rate_limits
from controller.client.rest import RestClient, path
from controller.client.transport import Connection
from controller.clock import SystemClock
from tests.contract.worlds import OTHER_MANAGER, StoreWorld, World, a_log, a_store, crd, draws
from twin.apiserver import Object
from twin.apiserver.rest import ApiServer, TokenAuthenticator
from twin.serve.kubeconfig import kubeconfig, write
from twin.serve.network.sockets import listening

CRDS = Kind(
    type=Resource,
    group="apiextensions.k8s.io",
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    namespaced=False,
)
NAMESPACES = Kind(type=Resource, kind="Namespace", plural="namespaces", namespaced=False)
T = TypeVar("T", bound=Resource)
_NUMBERS = count(1)
_DEFINED_AFTER = 3.0
"""Seconds after which a server validates by a new definition; it does not say when."""


def fresh_namespace() -> str:
    """Return a namespace name that no other test uses."""
    return f"contract-{os.getpid()}-{next(_NUMBERS)}"


@dataclass(frozen=True, slots=True)
class Server:
    """A running API server with the ModelAdapter CRD.

    Attributes:
        kubeconfig: path of its kubeconfig.
        etcd: URL of its etcd; empty if the tests must not use it.
        account: kubeconfig of the operator's service account, without a role; None without one.
        restored_afterwards: makes a context after which etcd is as it was before; None if it is not to be restored.
    """

    kubeconfig: Path
    etcd: str = ""
    account: Path | None = None
    restored_afterwards: Callable[[], AbstractAsyncContextManager[None]] | None = None


class LiveWorld:
    """A namespace of a real server."""

    def __init__(self, server: Server, connection: Connection, client: Client) -> None:
        self.client = client
        self.namespace = fresh_namespace()
        self._server = server
        self._connection = connection

    async def create(self, kind: Kind[Any], manifest: Object) -> Object:
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **manifest}
        return await self._send("POST", path(kind, self.namespace), {"fieldManager": OTHER_MANAGER}, body)

    async def patch(self, kind: Kind[Any], name: str, body: Object, subresource: str = "") -> Object:
        where, how = path(kind, self.namespace, name, subresource), "application/merge-patch+json"
        return await self._send("PATCH", where, {"fieldManager": OTHER_MANAGER}, body, how)

    async def apply(self, kind: Kind[T], obj: T, *, manager: str = OTHER_MANAGER, force: bool = True) -> T:
        where, how = path(kind, obj.metadata.namespace, obj.metadata.name), "application/apply-patch+yaml"
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        return Decoder(kind, a_log()).object(
            await self._connection.request("PATCH", where, query, kind.desired(obj), how)
        )

    async def read(self, kind: Kind[Any], name: str) -> Object:
        return await self._send("GET", path(kind, self.namespace, name))

    async def read_scale(self, name: str) -> Object:
        return await self._send("GET", path(MODEL_ADAPTERS, self.namespace, name, "scale"))

    async def delete(self, kind: Kind[Any], name: str) -> None:
        await self._send("DELETE", path(kind, self.namespace, name))

    async def define(self, manifest: Object) -> None:
        where, query = path(CRDS, "", manifest["metadata"]["name"]), {"fieldManager": OTHER_MANAGER, "force": "true"}
        await self._send("PATCH", where, query, manifest, "application/apply-patch+yaml")
        await asyncio.sleep(_DEFINED_AFTER)

    async def forget(self) -> None:
        if not self._server.etcd:
            return  # a cluster in use has already compacted its first versions
        async with httpx.AsyncClient(base_url=self._server.etcd) as etcd:
            status = (await etcd.post("/v3/maintenance/status", json={})).json()
            await etcd.post("/v3/kv/compaction", json={"revision": status["header"]["revision"]})

    async def _send(self, *request: Any) -> Object:
        answer: Object = msgspec.json.decode(await self._connection.request(*request))
        return answer


@asynccontextmanager
async def served(file: Path | None = None) -> AsyncIterator[World]:
    """The twin's store behind its own HTTP API.

    `file`: path for a kubeconfig. The server then asks for no token, since kubectl sends none over plain HTTP.
    """
    store = a_store()
    access = TokenAuthenticator(open=file is not None)
    api = ApiServer(store, access, SystemClock().now)
    with TemporaryDirectory() as folder:
        async with listening(api) as address:
            file = file or Path(folder) / "kubeconfig"
            write(file, kubeconfig(address.url, access.admin_token))
            reach = Kubeconfig(str(file), "", SystemClock())
            async with Connection(reach, limits=rate_limits(), timeout=30, rng=draws()) as connection:
                yield StoreWorld(store, RestClient(connection, draws(), a_log()))
            api.close()


@asynccontextmanager
async def on(server: Server) -> AsyncIterator[World]:
    """A namespace on that server, deleted at the end."""
    access = Kubeconfig(str(server.kubeconfig), "", SystemClock())
    limits = rate_limits()
    async with Connection(access, limits=limits, timeout=30, rng=draws()) as connection:
        world = LiveWorld(server, connection, RestClient(connection, draws(), a_log()))
        await world.create(NAMESPACES, {"metadata": {"name": world.namespace}})
        try:
            yield world
        finally:
            await connection.request("DELETE", path(NAMESPACES, "", world.namespace))


async def install_crd(server: Server) -> None:
    """Install the ModelAdapter CRD and wait until it is served."""
    access = Kubeconfig(str(server.kubeconfig), "", SystemClock())
    async with Connection(access, limits=rate_limits(), timeout=30, rng=draws()) as connection:
        await connection.request(
            "PATCH",
            path(CRDS, "", crd()["metadata"]["name"]),
            {"fieldManager": OTHER_MANAGER, "force": "true"},
            crd(),
            "application/apply-patch+yaml",
        )
        for _ in range(150):
            try:
                await connection.request("GET", "/apis/model.aibrix.ai/v1alpha1/modeladapters")
                return
            except NotFound:
                await asyncio.sleep(0.2)
        raise RuntimeError("the CRD was not served within 30 s")
