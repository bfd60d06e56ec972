"""Raw HTTP to a server, for requests that our client libraries would not send."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from ruamel.yaml import YAML

from tests.contract import live
from tests.twin.serve.api import served_store


@dataclass(frozen=True, slots=True)
class HttpClient:
    """A client of a server, and a namespace for one test."""

    client: httpx.AsyncClient
    namespace: str

    async def ask(self, method: str, path: str, content: object = None, *, as_type: str = "") -> httpx.Response:
        """Send a request; `NS` in the path stands for the namespace, and bodies are JSON unless they are text."""
        headers = {"content-type": as_type} if as_type else {}
        body = content if isinstance(content, str) else None
        url = path.replace("NS", self.namespace)
        if body is not None:
            return await self.client.request(method, url, content=body, headers=headers)
        return await self.client.request(method, url, json=content, headers=headers)


@asynccontextmanager
async def twin_client() -> AsyncIterator[HttpClient]:
    """Return a client of the twin's API on a socket."""
    async with served_store() as api:
        yield await _with_namespace(api.client, "contract")


@asynccontextmanager
async def server_client(server: live.Server) -> AsyncIterator[HttpClient]:
    """Return a client of a real server."""
    config = YAML(typ="safe").load(server.kubeconfig.read_text())
    url, token = config["clusters"][0]["cluster"]["server"], config["users"][0]["user"]["token"]
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, verify=False, trust_env=False) as client:
        http_client = await _with_namespace(client, live.fresh_namespace())
        try:
            yield http_client
        finally:
            await client.delete(f"/api/v1/namespaces/{http_client.namespace}")


async def _with_namespace(client: httpx.AsyncClient, name: str) -> HttpClient:
    response = await client.post("/api/v1/namespaces", json={"metadata": {"name": name}})
    response.raise_for_status()
    return HttpClient(client, name)
