"""The worlds that the contract suite runs in: how each is opened, and what a test may ask of it.

A test acts through `world.cluster`, the seam. What other people do on a cluster (a kubelet, somebody with kubectl) it
does through the world's other methods, which know no seam and speak JSON.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from io import StringIO
from itertools import count
from random import Random
from typing import Any, Protocol

import numpy as np
import simpy
import structlog
from ruamel.yaml import YAML

from controller.api.types import Kind
from controller.client.interface import Client
from controller.clock import SystemClock
from fake_vllm.distributions import Constant
from twin.apiserver import Object, Store
from twin.trace.recorder import Recorder
from twin.world.api_faults import ApiFaults
from twin.world.store_client import StoreClient, StoreContext

SOMEBODY = "kubectl"
"""The field manager of other people."""


class World(Protocol):
    """A cluster with the ModelAdapter CRD, and a namespace that the test has to itself."""

    cluster: Client
    namespace: str

    async def create(self, kind: Kind[Any], manifest: Object) -> Object:
        """Somebody creates an object."""
        ...

    async def patch(self, kind: Kind[Any], name: str, body: Object, subresource: str = "") -> Object:
        """Somebody changes an object of the test's namespace by a merge patch."""
        ...

    async def apply(self, kind: Kind[Any], manifest: Object) -> Object:
        """Somebody applies a manifest on the server."""
        ...

    async def read(self, kind: Kind[Any], name: str) -> Object:
        """The whole object, also what the seam does not show."""
        ...

    async def forget(self) -> None:
        """The server forgets history: nobody can watch or page on from before now."""
        ...


def a_log() -> structlog.typing.FilteringBoundLogger:
    """A log that nobody reads."""
    log: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(structlog.PrintLogger(StringIO()))
    return log


def crd() -> Object:
    manifest: Object = YAML(typ="safe").load((files("controller") / "deploy/crd.yaml").read_text())
    return manifest


def a_store() -> Store:
    """An empty store that knows ModelAdapters."""
    numbers = count()
    store = Store(SystemClock().now, lambda: f"{next(numbers):05d}")
    store.register_crd(crd())
    return store


class StoreWorld:
    """Other people's half, where the store is at hand."""

    namespace = "contract"

    def __init__(self, store: Store, cluster: Client) -> None:
        self.cluster = cluster
        self._store = store
        store.create("namespaces", {"metadata": {"name": self.namespace}})

    async def create(self, kind: Kind[Any], manifest: Object) -> Object:
        namespace = self.namespace if kind.namespaced else ""
        return self._store.create(resource(kind), manifest, namespace=namespace, manager=SOMEBODY)

    async def patch(self, kind: Kind[Any], name: str, body: Object, subresource: str = "") -> Object:
        namespace = self.namespace if kind.namespaced else ""
        return self._store.patch(resource(kind), namespace, name, body, subresource=subresource, manager=SOMEBODY)

    async def apply(self, kind: Kind[Any], manifest: Object) -> Object:
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        return self._store.patch(resource(kind), namespace, name, manifest, type="apply", manager=SOMEBODY)

    async def read(self, kind: Kind[Any], name: str) -> Object:
        return self._store.get(resource(kind), self.namespace, name)

    async def forget(self) -> None:
        self._store.compact()


@asynccontextmanager
async def in_process() -> AsyncIterator[World]:
    """The twin's store, as the simulation uses it."""
    store = a_store()
    recorder = Recorder(lambda: 0.0, ())
    rng = np.random.default_rng(0)
    faults = ApiFaults(simpy.Environment(), store)
    yield StoreWorld(store, StoreClient(StoreContext(store, "contract", recorder, Constant(0.0), rng, faults)))


def resource(kind: Kind[Any]) -> str:
    return f"{kind.plural}.{kind.group}" if kind.group else kind.plural


def draws() -> Random:
    return Random(0)
