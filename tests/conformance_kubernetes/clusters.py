"""The two clusters in which a story is played: a real control plane, and the twin in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import httpx
import simpy

from controller.clock import SystemClock
from formats.timestamps import format_time
from tests.conformance_kubernetes.api import Api, Object
from tests.conformance_kubernetes.control_plane import ControlPlane
from tests.conformance_kubernetes.played_metrics import SERVICE, PlayedMetrics, api_services, serve
from twin.apiserver import Store
from twin.apiserver.meta.objects import EPOCH
from twin.apiserver.rest import ApiServer, TokenAuthenticator
from twin.kernel import loop
from twin.kernel.random_streams import Streams
from twin.world.cluster import World, WorldSettings
from twin.world.context import WorldContext

T = TypeVar("T")

_HEARTBEAT = 8.0  # seconds; below the kubelet's 10
_TIMEOUT = 30.0  # seconds
_TAINT_POLLS = 60
_DISCOVERED = 35.0  # seconds; kube-controller-manager looks for new APIs every 30


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster with one node of the pool `general`.

    Attributes:
        http: client of its API server.
        version: returns a text that changes with each write to an object of these kinds in a story's namespace.
        now: returns the cluster's time, as RFC 3339.
        silent: names of the nodes whose kubelet reports nothing.
        metrics: what HorizontalPodAutoscalers can read.
    """

    http: httpx.AsyncClient
    version: Callable[[Api, tuple[str, ...]], Awaitable[str]]
    now: Callable[[], str]
    silent: set[str] = field(default_factory=set)
    metrics: PlayedMetrics = field(default_factory=PlayedMetrics)


def node(name: str, pool: str, **labels: str) -> Object:
    """Return a node that has more room than any story needs."""
    room = {"cpu": "64", "memory": "256Gi", "pods": "500", "nvidia.com/gpu": "8"}
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "pool": pool, **labels}},
        "status": {"capacity": room, "allocatable": room},
    }


def ready(now: str, status: str = "True") -> Object:
    """Return the condition that a kubelet reports of its node."""
    return {
        "type": "Ready",
        "status": status,
        "reason": "KubeletReady" if status == "True" else "KubeletNotReady",
        "message": "kubelet is posting ready status" if status == "True" else "the container runtime is down",
        "lastHeartbeatTime": now,
    }


@asynccontextmanager
async def real_cluster(control_plane: ControlPlane) -> AsyncIterator[Cluster]:
    """Use a real control plane, whose nodes report as long as the block lasts."""
    headers = {"authorization": f"Bearer {control_plane.token}"}
    limits = httpx.Limits(max_connections=50)
    async with httpx.AsyncClient(
        base_url=control_plane.url, headers=headers, verify=False, trust_env=False, timeout=_TIMEOUT, limits=limits
    ) as http:
        cluster = Cluster(http, _versions, _wall_time)
        await start_node(cluster, node("general-1", "general"))
        await _controllers_started(cluster)
        heartbeats = asyncio.create_task(_heartbeats(cluster))
        try:
            yield cluster
        finally:
            heartbeats.cancel()


@asynccontextmanager
async def serve_metrics(cluster: Cluster) -> AsyncIterator[None]:
    """Register the metrics APIs in a real control plane, and answer them until the end of the block."""
    api = Api(cluster.http, "default")
    with TemporaryDirectory(prefix="metrics-") as folder:
        async with serve(cluster.metrics, Path(folder)) as port:
            for manifest in (SERVICE, *api_services(port)):
                await api.create(manifest)
            await asyncio.sleep(_DISCOVERED)
            yield


async def _controllers_started(cluster: Cluster) -> None:
    """Wait until the first node has lost the taint that the API server gives to new ones."""
    api = Api(cluster.http, "")
    for _ in range(_TAINT_POLLS):
        if all(not item["spec"].get("taints") for item in await api.list("Node")):
            return
        await asyncio.sleep(1)
    raise TimeoutError("kube-controller-manager has not handled the first node within a minute")


async def start_node(cluster: Cluster, manifest: Object) -> None:
    """Create a node and report it ready."""
    api, name = Api(cluster.http, ""), manifest["metadata"]["name"]
    await api.create(manifest)
    await api.patch("Node", name, {"status": {"conditions": [ready(cluster.now())]}}, "status")


async def _heartbeats(cluster: Cluster) -> None:
    """Report all nodes as their kubelets do."""
    api = Api(cluster.http, "")
    while True:
        await asyncio.sleep(_HEARTBEAT)
        for item in await api.list("Node"):
            name = item["metadata"]["name"]
            if name not in cluster.silent:
                await api.patch("Node", name, {"status": {"conditions": [ready(cluster.now())]}}, "status")


async def _versions(api: Api, kinds: tuple[str, ...]) -> str:
    lists = [await api.list(kind) for kind in kinds if kind != "Node"]
    return "/".join(item["metadata"]["uid"] + item["metadata"]["resourceVersion"] for items in lists for item in items)


def _wall_time() -> str:
    return format_time(SystemClock().now())


def in_twin(play: Callable[[Cluster], Awaitable[T]]) -> T:
    """Call `play` with a new simulated cluster, in virtual time, and return its result."""
    env, numbers = simpy.Environment(), count()
    store = Store(lambda: EPOCH + timedelta(seconds=env.now), lambda: f"{next(numbers):05d}")
    context = WorldContext(env, store, Streams(1))
    metrics = PlayedMetrics()
    world = World(context, WorldSettings(nodes=(), metrics=metrics))
    world.start()

    async def version(api: Api, kinds: tuple[str, ...]) -> str:
        return store.resource_version

    async def main() -> T:
        access = TokenAuthenticator()
        server = ApiServer(store, access, context.now)
        headers = {"authorization": f"Bearer {access.admin_token}"}
        transport = httpx.ASGITransport(server)
        async with httpx.AsyncClient(base_url="http://twin", headers=headers, transport=transport) as http:
            cluster = Cluster(http, version, lambda: format_time(context.now()), metrics=metrics)
            await start_node(cluster, node("general-1", "general"))
            heartbeats = asyncio.create_task(_heartbeats(cluster))
            try:
                return await play(cluster)
            finally:
                heartbeats.cancel()

    return loop.run(main(), env)
