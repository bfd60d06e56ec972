"""The API server's requests, counted: a `Cluster` around another, so that each seam's far side is counted alike.

Codes and methods are those of client-go's `rest_client_requests_total`; a request that got no answer has the code
`<error>`, as there.
"""

from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any, TypeVar

from controller.cluster import Cluster, ClusterError, Listing, Propagation, Subresource, WatchEvent
from controller.metrics import Metrics
from controller.resources import Kind, Resource

T = TypeVar("T", bound=Resource)
R = TypeVar("R")


class CountedCluster:
    """Passes everything on, and counts what came of it."""

    def __init__(self, cluster: Cluster, metrics: Metrics) -> None:
        self._cluster = cluster
        self._metrics = metrics

    async def get(self, kind: Kind[T], namespace: str, name: str) -> T:
        return await self._counted("GET", self._cluster.get(kind, namespace, name))

    async def list(self, kind: Kind[T], *, namespace: str = "", label_selector: str = "") -> Listing[T]:
        asked = self._cluster.list(kind, namespace=namespace, label_selector=label_selector)
        return await self._counted("GET", asked)

    async def watch(
        self, kind: Kind[T], *, resource_version: str, namespace: str = "", label_selector: str = "", name: str = ""
    ) -> AsyncIterator[WatchEvent[T]]:
        changes = self._cluster.watch(
            kind, resource_version=resource_version, namespace=namespace, label_selector=label_selector, name=name
        )
        try:
            async for change in changes:
                yield change
        except ClusterError as error:
            self._metrics.api_asked("GET", _code(error))
            raise
        else:
            self._metrics.api_asked("GET", "200")

    async def create(self, kind: Kind[T], obj: T) -> T:
        return await self._counted("POST", self._cluster.create(kind, obj), "201")

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
        return await self._counted("PATCH", asked)

    async def apply(self, kind: Kind[T], obj: T, *, force: bool = True) -> T:
        return await self._counted("PATCH", self._cluster.apply(kind, obj, force=force))

    async def delete(
        self,
        kind: Kind[T],
        namespace: str,
        name: str,
        *,
        uid: str = "",
        propagation: Propagation = "Background",
    ) -> None:
        asked = self._cluster.delete(kind, namespace, name, uid=uid, propagation=propagation)
        await self._counted("DELETE", asked)

    async def _counted(self, method: str, asked: Awaitable[R], code: str = "200") -> R:
        try:
            answer = await asked
        except ClusterError as error:
            self._metrics.api_asked(method, _code(error))
            raise
        self._metrics.api_asked(method, code)
        return answer


def _code(error: ClusterError) -> str:
    return str(error.code) if error.code else "<error>"
