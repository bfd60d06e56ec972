"""HTTP by hand to a server, for what no client library of ours would send."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from ruamel.yaml import YAML

from tests.contract import live
from tests.twin.serve.api import served_store


@dataclass(frozen=True, slots=True)
class Door:
    """A server, and a namespace that the test has to itself."""

    client: httpx.AsyncClient
    namespace: str

    async def ask(self, method: str, path: str, sent: object = None, *, as_type: str = "") -> httpx.Response:
        """Ask for a path, in which `NS` is the namespace; what is sent goes as JSON."""
        headers = {"content-type": as_type} if as_type else {}
        body = sent if isinstance(sent, str) else None
        whole = path.replace("NS", self.namespace)
        if body is not None:
            return await self.client.request(method, whole, content=body, headers=headers)
        return await self.client.request(method, whole, json=sent, headers=headers)


@asynccontextmanager
async def to_the_twin() -> AsyncIterator[Door]:
    """The twin's API on a socket."""
    async with served_store() as api:
        yield await _in_its_own_namespace(api.client, "contract")


@asynccontextmanager
async def to(server: live.Server) -> AsyncIterator[Door]:
    """A real server."""
    config = YAML(typ="safe").load(server.kubeconfig.read_text())
    url, token = config["clusters"][0]["cluster"]["server"], config["users"][0]["user"]["token"]
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, verify=False, trust_env=False) as client:
        door = await _in_its_own_namespace(client, live.fresh_namespace())
        try:
            yield door
        finally:
            await client.delete(f"/api/v1/namespaces/{door.namespace}")


async def _in_its_own_namespace(client: httpx.AsyncClient, name: str) -> Door:
    made = await client.post("/api/v1/namespaces", json={"metadata": {"name": name}})
    made.raise_for_status()
    return Door(client, name)
