"""The node's client of a Kubernetes API: plain JSON in and out."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx

from twin.apiserver import ApiError
from twin.apiserver.meta.objects import Object

NODES = "/api/v1/nodes"
PODS = "/api/v1/pods"
_MERGE = {"content-type": "application/merge-patch+json"}


class ApiClient:
    """Client of an API server.

    Raises `ApiError` if it refuses a request, `httpx.TransportError` if it does not respond.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def create(self, path: str, body: Object) -> Object:
        return self._read(await self._client.post(path, json=body))

    async def patch(self, path: str, body: Object) -> Object:
        return self._read(await self._client.patch(path, content=json.dumps(body), headers=_MERGE))

    async def get(self, path: str, **query: str) -> Object:
        return self._read(await self._client.get(path, params=query))

    async def delete(self, path: str, *, uid: str = "") -> None:
        """Delete an object without grace period; it is no error if it does not exist."""
        options = {"gracePeriodSeconds": 0, **({"preconditions": {"uid": uid}} if uid else {})}
        response = await self._client.request("DELETE", path, json=options)
        if response.status_code not in (404, 409):
            self._read(response)

    async def watch(self, path: str, **query: str) -> AsyncIterator[tuple[str, Object]]:
        """Yield changes as (type, object), until the server ends the stream."""
        stream = self._client.stream("GET", path, params={"watch": "true", **query}, timeout=None)
        async with stream as response:
            if not response.is_success:
                await response.aread()
                self._read(response)
            async for line in response.aiter_lines():
                event: Mapping[str, Any] = json.loads(line)
                if event["type"] == "ERROR":
                    return
                yield event["type"], event["object"]

    @staticmethod
    def _read(response: httpx.Response) -> Object:
        body: Object = response.json()
        if not response.is_success:
            raise ApiError(response.status_code, str(body.get("reason", "")), str(body.get("message", "")))
        return body


def pod_path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods/{name}"
