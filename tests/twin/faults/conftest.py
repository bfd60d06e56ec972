"""A store in virtual time with two clients, and API faults that tests switch on."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import pytest
import simpy

from controller.api.types import NODES, Node
from fake_vllm.distributions import Constant
from twin.apiserver import Store
from twin.apiserver.meta.objects import EPOCH
from twin.kernel.loop import run
from twin.kernel.random_streams import Streams
from twin.trace.lines import ApiLine
from twin.trace.recorder import Recorder
from twin.world.api_faults import ApiFaults, ApiRule
from twin.world.store_client import StoreClient, StoreContext

T = TypeVar("T")
LATENCY = 0.010


@dataclass
class Server:
    """A store, its faults, and the clients of two replicas."""

    env: simpy.Environment = field(default_factory=simpy.Environment)
    news: list[tuple[float, str, str]] = field(default_factory=list)
    """Events of the first replica's watch: time, type, object."""

    def __post_init__(self) -> None:
        numbers = itertools.count()
        self.store = Store(lambda: EPOCH + timedelta(seconds=float(self.env.now)), lambda: f"{next(numbers):05d}")
        self.recorder = Recorder(lambda: float(self.env.now), ())
        self.faults = ApiFaults(self.env, self.store)
        self.cluster, self.other = (self._replica(name) for name in ("first", "second"))

    def _replica(self, name: str) -> StoreClient:
        rng = Streams(1).get(name)
        return StoreClient(StoreContext(self.store, name, self.recorder, Constant(LATENCY), rng, self.faults))

    def rule(self, code: int, **more: Any) -> ApiRule:
        return ApiRule(code, more.pop("probability", 1.0), Streams(1).get("rule"), **more)

    def node(self, name: str) -> None:
        """Create a node as another client."""
        self.store.create("nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})

    def label(self, name: str, value: str) -> None:
        """Change a label of a node as another client."""
        self.store.patch("nodes", "", name, {"metadata": {"labels": {"look": value}}})

    async def names(self) -> list[str]:
        """Return the names of the nodes that the first replica lists."""
        return [item.metadata.name for item in (await self.cluster.list(NODES)).items]

    async def listen(self, version: str = "") -> None:
        """Watch nodes from `version` on (empty: from now), and add events to `news`."""
        start = version or self.store.resource_version
        async for event in self.cluster.watch(NODES, resource_version=start):
            obj: Node = event.object
            self.news.append((round(float(self.env.now), 3), event.type, obj.metadata.name))

    @property
    def writes(self) -> list[tuple[str, int]]:
        """Return verb and code of each write that the server received."""
        return [(line.verb, line.code) for line in self.recorder.lines if isinstance(line, ApiLine)]

    def play(self, story: Callable[[], Awaitable[T]]) -> T:
        """Run `story` in virtual time; cancel the tasks that are left at its end."""

        async def body() -> T:
            try:
                return await story()
            finally:
                tasks = asyncio.all_tasks() - {asyncio.current_task()}
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

        return run(body(), self.env)


@pytest.fixture
def server() -> Server:
    return Server()
