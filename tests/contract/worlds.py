"""The worlds in which the contract suite runs.

A test acts through `world.client`, the client of the operator. The actions of other clients (a kubelet, a kubectl
user) go through the other methods of the world, which use JSON.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import StringIO
from itertools import count
from random import Random
from typing import Any, Protocol, TypeVar

import numpy as np
import simpy
import structlog

from controller.api.types import MODEL_ADAPTERS, Kind, Resource
from controller.client.interface import Client
from controller.clock import SystemClock
from fake_vllm.distributions import Constant
from twin.apiserver import ApiError, Object, Store
from twin.scenario.manifests.admission import definition
from twin.trace.recorder import Recorder
from twin.world.api_faults import ApiFaults
from twin.world.store_client import StoreClient, StoreContext, map_error

T = TypeVar("T", bound=Resource)

OTHER_MANAGER = "kubectl"
"""Field manager of other clients."""


class World(Protocol):
    """A cluster with the ModelAdapter CRD, and a namespace for one test."""

    client: Client
    namespace: str

    async def create(self, kind: Kind[Any], manifest: Object) -> Object:
        """Create an object as another client."""
        ...

    async def patch(self, kind: Kind[Any], name: str, body: Object, subresource: str = "") -> Object:
        """Merge-patch an object of the test's namespace as another client."""
        ...

    async def apply(self, kind: Kind[T], obj: T, *, manager: str = OTHER_MANAGER, force: bool = True) -> T:
        """Apply an object on the server as another client.

        Raises:
            ClientError: as a request of the operator's client would.
        """
        ...

    async def read(self, kind: Kind[Any], name: str) -> Object:
        """Return a whole object, including fields that the client does not decode."""
        ...

    async def read_scale(self, name: str) -> Object:
        """Return the Scale of an adapter."""
        ...

    async def delete(self, kind: Kind[Any], name: str) -> None:
        """Delete an object of the test's namespace as another client."""
        ...

    async def define(self, manifest: Object) -> None:
        """Install or replace the definition of ModelAdapter."""
        ...

    async def forget(self) -> None:
        """Compact the history: earlier versions cannot be watched or paged from."""
        ...


def a_log() -> structlog.typing.FilteringBoundLogger:
    """Return a log that is discarded."""
    log: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(structlog.PrintLogger(StringIO()))
    return log


def crd() -> Object:
    return definition()


def a_store() -> Store:
    """Return an empty store with the ModelAdapter CRD."""
    numbers = count()
    store = Store(SystemClock().now, lambda: f"{next(numbers):05d}")
    store.register_crd(crd())
    return store


class StoreWorld:
    """The actions of other clients on a store in this process."""

    namespace = "contract"

    def __init__(self, store: Store, client: Client) -> None:
        self.client = client
        self._store = store
        store.create("namespaces", {"metadata": {"name": self.namespace}})

    async def create(self, kind: Kind[Any], manifest: Object) -> Object:
        namespace = self.namespace if kind.namespaced else ""
        return self._store.create(resource(kind), manifest, namespace=namespace, manager=OTHER_MANAGER)

    async def patch(self, kind: Kind[Any], name: str, body: Object, subresource: str = "") -> Object:
        namespace = self.namespace if kind.namespaced else ""
        return self._store.patch(resource(kind), namespace, name, body, subresource=subresource, manager=OTHER_MANAGER)

    async def apply(self, kind: Kind[T], obj: T, *, manager: str = OTHER_MANAGER, force: bool = True) -> T:
        meta, body = obj.metadata, kind.desired(obj)
        try:
            applied = self._store.patch(
                resource(kind), meta.namespace, meta.name, body, type="apply", manager=manager, force=force
            )
        except ApiError as error:
            raise map_error(error) from None
        return kind.decode(applied)

    async def read(self, kind: Kind[Any], name: str) -> Object:
        return self._store.get(resource(kind), self.namespace, name)

    async def read_scale(self, name: str) -> Object:
        return self._store.get(resource(MODEL_ADAPTERS), self.namespace, name, subresource="scale")

    async def delete(self, kind: Kind[Any], name: str) -> None:
        self._store.delete(resource(kind), self.namespace if kind.namespaced else "", name)

    async def define(self, manifest: Object) -> None:
        self._store.register_crd(manifest)

    async def forget(self) -> None:
        self._store.compact()


@asynccontextmanager
async def in_process() -> AsyncIterator[World]:
    """The twin's store, as used by simulations."""
    store = a_store()
    recorder = Recorder(lambda: 0.0, ())
    rng = np.random.default_rng(0)
    faults = ApiFaults(simpy.Environment(), store)
    yield StoreWorld(store, StoreClient(StoreContext(store, "contract", recorder, Constant(0.0), rng, faults)))


def resource(kind: Kind[Any]) -> str:
    return f"{kind.plural}.{kind.group}" if kind.group else kind.plural


def draws() -> Random:
    return Random(0)
