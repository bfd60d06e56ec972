"""What the node asks of a Kubernetes API: plain JSON in and out."""

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
    """An API server; requests raise `ApiError` if it refuses, `httpx.TransportError` if it does not answer."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def create(self, path: str, body: Object) -> Object:
        return self._read(await self._client.post(path, json=body))

    async def patch(self, path: str, body: Object) -> Object:
        return self._read(await self._client.patch(path, content=json.dumps(body), headers=_MERGE))

    async def get(self, path: str, **query: str) -> Object:
        return self._read(await self._client.get(path, params=query))

    async def delete(self, path: str, *, uid: str = "") -> None:
        """At once, without grace; that it is gone already is no error."""
        options = {"gracePeriodSeconds": 0, **({"preconditions": {"uid": uid}} if uid else {})}
        answer = await self._client.request("DELETE", path, json=options)
        if answer.status_code not in (404, 409):
            self._read(answer)

    async def watch(self, path: str, **query: str) -> AsyncIterator[tuple[str, Object]]:
        """Changes as (type, object), until the server ends the stream."""
        asked = self._client.stream("GET", path, params={"watch": "true", **query}, timeout=None)
        async with asked as answer:
            if not answer.is_success:
                await answer.aread()
                self._read(answer)
            async for line in answer.aiter_lines():
                event: Mapping[str, Any] = json.loads(line)
                if event["type"] == "ERROR":
                    return
                yield event["type"], event["object"]

    @staticmethod
    def _read(answer: httpx.Response) -> Object:
        body: Object = answer.json()
        if not answer.is_success:
            raise ApiError(answer.status_code, str(body.get("reason", "")), str(body.get("message", "")))
        return body


def pod_path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods/{name}"
