"""A `Client` that delegates all requests to another; base class of clients that change one aspect."""

from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any, Literal, TypeVar

from controller.api.types import Kind, Resource
from controller.client.interface import Client, ObjectList, Propagation, Subresource, WatchEvent

T = TypeVar("T", bound=Resource)
R = TypeVar("R")

Method = Literal["GET", "POST", "PATCH", "DELETE"]


class DelegatingClient:
    """Delegates every request; all except watches pass through `_request` with their HTTP method and kind."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def _request(self, method: Method, kind: Kind[Any], request: Awaitable[R]) -> R:  # noqa: ARG002
        """Await a request; for subclasses."""
        return await request

    async def get(self, kind: Kind[T], namespace: str, name: str) -> T:
        return await self._request("GET", kind, self._client.get(kind, namespace, name))

    async def list(self, kind: Kind[T], *, namespace: str = "", label_selector: str = "") -> ObjectList[T]:
        request = self._client.list(kind, namespace=namespace, label_selector=label_selector)
        return await self._request("GET", kind, request)

    def watch(
        self, kind: Kind[T], *, resource_version: str, namespace: str = "", label_selector: str = "", name: str = ""
    ) -> AsyncIterator[WatchEvent[T]]:
        return self._client.watch(
            kind, resource_version=resource_version, namespace=namespace, label_selector=label_selector, name=name
        )

    async def create(self, kind: Kind[T], obj: T) -> T:
        return await self._request("POST", kind, self._client.create(kind, obj))

    async def patch(
        self,
        kind: Kind[T],
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        *,
        resource_version: str = "",
        subresource: Subresource = "",
    ) -> T:
        request = self._client.patch(
            kind, namespace, name, body, resource_version=resource_version, subresource=subresource
        )
        return await self._request("PATCH", kind, request)

    async def delete(
        self, kind: Kind[T], namespace: str, name: str, *, uid: str = "", propagation: Propagation = "Background"
    ) -> None:
        request = self._client.delete(kind, namespace, name, uid=uid, propagation=propagation)
        await self._request("DELETE", kind, request)
