"""A `Client` that passes everything on to another: what those that change one thing alone are made from."""

from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any, Literal, TypeVar

from controller.api.types import Kind, Resource
from controller.client.interface import Client, ObjectList, Propagation, Subresource, WatchEvent

T = TypeVar("T", bound=Resource)
R = TypeVar("R")

Method = Literal["GET", "POST", "PATCH", "DELETE"]


class DelegatingClient:
    """Every request that is answered once goes by `_asked`, as the HTTP method that it is."""

    def __init__(self, cluster: Client) -> None:
        self._cluster = cluster

    async def _asked(self, method: Method, asked: Awaitable[R]) -> R:  # noqa: ARG002 - for those that count
        return await asked

    async def get(self, kind: Kind[T], namespace: str, name: str) -> T:
        return await self._asked("GET", self._cluster.get(kind, namespace, name))

    async def list(self, kind: Kind[T], *, namespace: str = "", label_selector: str = "") -> ObjectList[T]:
        return await self._asked("GET", self._cluster.list(kind, namespace=namespace, label_selector=label_selector))

    def watch(
        self, kind: Kind[T], *, resource_version: str, namespace: str = "", label_selector: str = "", name: str = ""
    ) -> AsyncIterator[WatchEvent[T]]:
        return self._cluster.watch(
            kind, resource_version=resource_version, namespace=namespace, label_selector=label_selector, name=name
        )

    async def create(self, kind: Kind[T], obj: T) -> T:
        return await self._asked("POST", self._cluster.create(kind, obj))

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
        asked = self._cluster.patch(
            kind, namespace, name, body, resource_version=resource_version, subresource=subresource
        )
        return await self._asked("PATCH", asked)

    async def apply(self, kind: Kind[T], obj: T, *, force: bool = True) -> T:
        return await self._asked("PATCH", self._cluster.apply(kind, obj, force=force))

    async def delete(
        self, kind: Kind[T], namespace: str, name: str, *, uid: str = "", propagation: Propagation = "Background"
    ) -> None:
        await self._asked("DELETE", self._cluster.delete(kind, namespace, name, uid=uid, propagation=propagation))
