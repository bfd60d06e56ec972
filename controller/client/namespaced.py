"""A `Client` that is limited to some namespaces.

A request for all namespaces becomes one list or watch per namespace, so the account needs no permissions elsewhere.
Kinds that the account may not read can be omitted; they are always empty (without nodes only zones are unknown).
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any, TypeVar

from controller.api.types import Kind, Resource
from controller.client.delegating import DelegatingClient
from controller.client.interface import Client, ClientError, Expired, ObjectList, WatchEvent

T = TypeVar("T", bound=Resource)


class NamespacedClient(DelegatingClient):
    """Limits requests to `namespaces`; kinds in `omitted` (plurals) are always empty."""

    def __init__(self, client: Client, namespaces: Sequence[str], omitted: Collection[str] = ()) -> None:
        super().__init__(client)
        self._namespaces = tuple(namespaces)
        self._omitted = frozenset(omitted)

    async def list(self, kind: Kind[T], *, namespace: str = "", label_selector: str = "") -> ObjectList[T]:
        if kind.plural in self._omitted:
            return ObjectList([], "1")
        lists = [
            await self._client.list(kind, namespace=name, label_selector=label_selector)
            for name in self._scope(kind, namespace)
        ]
        # A watch from the oldest version misses nothing; informers drop repeated events by their version.
        oldest = min((objects.resource_version for objects in lists), key=int)
        return ObjectList([item for objects in lists for item in objects.items], oldest)

    async def watch(
        self, kind: Kind[T], *, resource_version: str, namespace: str = "", label_selector: str = "", name: str = ""
    ) -> AsyncIterator[WatchEvent[T]]:
        """Yield the changes of all namespaces in scope.

        Raises:
            Expired: also if the watch of one of several namespaces fails in another way. The version of the last
                event says nothing about the other namespaces, so that a watch from there could miss changes.
        """
        if kind.plural in self._omitted:
            await asyncio.get_running_loop().create_future()
        scope = self._scope(kind, namespace)
        if len(scope) == 1:
            events = self._client.watch(
                kind, resource_version=resource_version, namespace=scope[0], label_selector=label_selector, name=name
            )
            async for event in events:
                yield event
            return
        queue: asyncio.Queue[WatchEvent[T] | Exception] = asyncio.Queue()
        versions = dict.fromkeys(scope, resource_version)
        tasks = [
            asyncio.ensure_future(self._watch_namespace(queue, kind, versions, name, label_selector)) for name in scope
        ]
        try:
            while True:
                item = await queue.get()
                if isinstance(item, ClientError) and not isinstance(item, Expired):
                    raise Expired(str(item), code=item.code, retry_after=item.retry_after) from item
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch_namespace(
        self,
        queue: "asyncio.Queue[WatchEvent[T] | Exception]",
        kind: Kind[T],
        versions: dict[str, str],
        name: str,
        selector: str,
    ) -> None:
        """Queue the changes of one namespace, starting the watch again whenever the server ends it.

        `versions` has the position of each namespace's watch; a bookmark is passed on with the oldest of them.
        """
        try:
            while True:
                events = self._client.watch(
                    kind, resource_version=versions[name], namespace=name, label_selector=selector
                )
                async for event in events:
                    versions[name] = event.object.metadata.resource_version
                    if event.type == "BOOKMARK":
                        oldest = min(versions.values(), key=lambda version: int(version or 0))
                        event = WatchEvent("BOOKMARK", kind.bookmark(oldest))
                    queue.put_nowait(event)
        except Exception as error:  # raised by `watch`
            queue.put_nowait(error)

    def _scope(self, kind: Kind[Any], namespace: str) -> Sequence[str]:
        return (namespace,) if namespace or not kind.namespaced else self._namespaces
