"""An operator that acts in some namespaces only: a `Client` that shows no others.

Whoever asks for all namespaces gets those that are in scope: one list and one watch each, put together. So an account
that may not look elsewhere is never made to. Kinds that the account may not read at all can be left out; they are then
always empty (without nodes, zones are unknown, and nothing else).
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any, TypeVar

from controller.api.types import Kind, Resource
from controller.client.delegating import DelegatingClient
from controller.client.interface import Client, ObjectList, WatchEvent

T = TypeVar("T", bound=Resource)


class NamespacedClient(DelegatingClient):
    """`left_out` names kinds (plurals) that seem to have no objects."""

    def __init__(self, cluster: Client, namespaces: Sequence[str], left_out: Collection[str] = ()) -> None:
        super().__init__(cluster)
        self._namespaces = tuple(namespaces)
        self._left_out = frozenset(left_out)

    async def list(self, kind: Kind[T], *, namespace: str = "", label_selector: str = "") -> ObjectList[T]:
        if kind.plural in self._left_out:
            return ObjectList([], "1")
        found = [
            await self._cluster.list(kind, namespace=place, label_selector=label_selector)
            for place in self._places(kind, namespace)
        ]
        # To watch on from the oldest of them misses nothing; what is seen twice is known to be old by its version.
        oldest = min((listing.resource_version for listing in found), key=int)
        return ObjectList([item for listing in found for item in listing.items], oldest)

    async def watch(
        self, kind: Kind[T], *, resource_version: str, namespace: str = "", label_selector: str = "", name: str = ""
    ) -> AsyncIterator[WatchEvent[T]]:
        if kind.plural in self._left_out:
            await asyncio.get_running_loop().create_future()
        places = self._places(kind, namespace)
        if len(places) == 1:
            changes = self._cluster.watch(
                kind, resource_version=resource_version, namespace=places[0], label_selector=label_selector, name=name
            )
            async for change in changes:
                yield change
            return
        news: asyncio.Queue[WatchEvent[T] | Exception] = asyncio.Queue()
        followers = [
            asyncio.ensure_future(self._follow(news, kind, resource_version, place, label_selector)) for place in places
        ]
        try:
            while True:
                heard = await news.get()
                if isinstance(heard, Exception):
                    raise heard
                yield heard
        finally:
            for follower in followers:
                follower.cancel()
            await asyncio.gather(*followers, return_exceptions=True)

    async def _follow(
        self, news: "asyncio.Queue[WatchEvent[T] | Exception]", kind: Kind[T], version: str, place: str, selector: str
    ) -> None:
        """One namespace's changes; a watch that ends is begun anew here, for the others go on.

        Bookmarks are kept here too: how far one namespace has come says nothing of the others.
        """
        try:
            while True:
                changes = self._cluster.watch(kind, resource_version=version, namespace=place, label_selector=selector)
                async for change in changes:
                    version = change.object.metadata.resource_version
                    if change.type != "BOOKMARK":
                        news.put_nowait(change)
        except Exception as error:  # handed to whoever reads, with its type
            news.put_nowait(error)

    def _places(self, kind: Kind[Any], namespace: str) -> Sequence[str]:
        return (namespace,) if namespace or not kind.namespaced else self._namespaces
