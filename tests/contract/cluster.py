"""A whole operator on one of the worlds, with engines that only store names; not a test.

There is no kubelet: pods are objects whose status the test writes.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from controller.api.types import ENDPOINT_SLICES, MODEL_ADAPTERS, PODS, EndpointSlice, ModelAdapter
from controller.client.interface import Client, NotFound
from controller.client.namespaced import NamespacedClient
from controller.clock import SystemClock
from controller.dependencies import Dependencies
from controller.operator import Operator
from controller.settings import Settings
from controller.tracing.interface import NO_TRACES, Tracer
from tests.contract.worlds import World, a_log
from tests.controller.mock_engines import Engines
from twin.apiserver import Object

FINALIZER = "adapter.model.aibrix.ai/finalizer"
SELECTOR = {"matchLabels": {"app": "qwen"}}
_POLL, _ATTEMPTS = 0.05, 600  # seconds


class Cluster:
    """Pods, adapters and an operator in the namespace of one test."""

    def __init__(self, world: World, client: Client | None = None) -> None:
        self.world = world
        self.engines = Engines()
        self._client = client or world.client

    async def add_pod(self, name: str, ip: str, **labels: str) -> None:
        """Create a pod that is ready."""
        marks = {"app": "qwen", "adapter.model.aibrix.ai/enabled": "true", **labels}
        container = {"name": "vllm", "image": "vllm/vllm-openai:v0.11.0", "command": ["vllm", "serve", "base"]}
        manifest = {"metadata": {"name": name, "labels": marks}, "spec": {"containers": [container]}}
        await self.world.create(PODS, manifest)
        await self.world.patch(PODS, name, {"status": running(ip)}, "status")

    async def add_adapter(self, name: str = "sql", *, replicas: int | None = 1, **metadata: Any) -> Object:
        """Create an adapter."""
        spec: Object = {"podSelector": SELECTOR, "artifactURL": f"huggingface://acme/{name}"}
        if replicas is not None:
            spec["replicas"] = replicas
        return await self.world.create(MODEL_ADAPTERS, {"metadata": {"name": name, **metadata}, "spec": spec})

    @asynccontextmanager
    async def operating(
        self, settings: Settings | None = None, *, isolates_errors: bool = False, tracer: Tracer = NO_TRACES
    ) -> AsyncIterator[None]:
        """Run the operator until the end of the block."""
        settings = settings or Settings(stable_for=0)
        operator = Operator(
            Dependencies(
                client=NamespacedClient(self._client, (self.world.namespace,), {"nodes"}),
                transport=self.engines.transport(),
                clock=SystemClock(),
                rng=Random(0),
                settings=settings,
                identity="operator",
                log=a_log(),
                isolates_errors=isolates_errors,
                tracer=tracer,
            )
        )
        running = asyncio.ensure_future(operator.run())
        try:
            yield
        finally:
            operator.stop()
            await running

    async def adapter(self, name: str = "sql") -> ModelAdapter | None:
        """Return the adapter; None if it is gone."""
        try:
            return await self.world.client.get(MODEL_ADAPTERS, self.world.namespace, name)
        except NotFound:
            return None

    async def slices(self, name: str = "sql") -> list[EndpointSlice]:
        """Return the slices of the adapter's Service."""
        selector = f"kubernetes.io/service-name={name}"
        items = await self.world.client.list(ENDPOINT_SLICES, namespace=self.world.namespace, label_selector=selector)
        return list(items.items)

    async def published(self, name: str = "sql") -> list[str]:
        """Return the addresses in the adapter's slices."""
        return sorted(ip for item in await self.slices(name) for point in item.endpoints for ip in point.addresses)

    async def condition(self, kind: str, name: str = "sql") -> tuple[str, str]:
        """Return (reason, message) of a condition; empty if the adapter does not have it."""
        current = await self.adapter(name)
        conditions = current.status.conditions if current is not None else ()
        return next(((item.reason, item.message) for item in conditions if item.type == kind), ("", ""))

    async def is_running(self, name: str = "sql") -> bool:
        current = await self.adapter(name)
        return current is not None and current.status.phase == "Running"

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Wait until it holds.

        Raises:
            AssertionError: if it does not within half a minute.
        """
        for _ in range(_ATTEMPTS):
            if await holds():
                return
            await asyncio.sleep(_POLL)
        raise AssertionError(f"it never became true; the adapters are {[await self.adapter()]}")


def running(ip: str, container: str = "containerd://1") -> Mapping[str, Any]:
    """Return the status of a pod that is ready."""
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    engine = {"name": "vllm", "containerID": container, "ready": True, "restartCount": 0, "image": "v", "imageID": ""}
    return {
        "phase": "Running",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "conditions": [ready],
        "containerStatuses": [engine],
    }
