"""A small simulated cluster for tests."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
import simpy

from fake_vllm.distributions import Constant
from twin.apiserver import Store
from twin.apiserver.meta.objects import EPOCH
from twin.kernel.random_streams import Streams
from twin.world.cluster import World, WorldSettings
from twin.world.context import WorldContext
from twin.world.kubelet.images import ImageSettings
from twin.world.kubelet.lifecycle import ContainerRun, ContainerRuns
from twin.world.network.engine_host import EngineHost, EngineSettings
from twin.world.nodes.nodes import NodeSpec
from twin.world.registry import ArtifactSettings

STARTUP = 40.0
READINESS = {"httpGet": {"path": "/health", "port": 8000}, "initialDelaySeconds": 30, "periodSeconds": 5}


@dataclass
class SimulatedCluster:
    """A world, its store, and the recorded events."""

    nodes: int = 2
    gpus: int = 4
    seed: int = 1
    startup: float = STARTUP
    runs: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    """Seconds and exit code of containers that end by themselves."""
    images: ImageSettings = field(default_factory=ImageSettings)
    env: simpy.Environment = field(default_factory=simpy.Environment)
    engine_events: list[tuple[float, str, str]] = field(default_factory=list)
    statuses: list[tuple[float, str, bool]] = field(default_factory=list)
    """Time, pod, ready: whenever readiness changed."""

    def __post_init__(self) -> None:
        numbers = itertools.count()
        self.store = Store(self.now, lambda: f"{next(numbers):05d}")
        engines = {"default": EngineSettings(startup=Constant(self.startup), load=Constant(2.0))}
        nodes = [NodeSpec(f"node-{i}", self.gpus, "ab"[i % 2]) for i in range(self.nodes)]
        runs = {name: ContainerRun(Constant(seconds), code) for name, (seconds, code) in self.runs.items()}
        settings = WorldSettings(
            nodes,
            engines,
            ArtifactSettings(bandwidth=10e6, size=100_000_000),
            Constant(2.0),
            runs=ContainerRuns(runs),
            images=self.images,
        )
        self.world = World(WorldContext(self.env, self.store, Streams(self.seed)), settings, self._on_engine)
        self.store.subscribe(self._on_pod, "pods")
        self.world.start()

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.env.now)

    def run(self, until: float) -> None:
        """Run the simulation for some time."""
        self.env.run(until=until)

    def deploy(self, replicas: int = 1, **changes: Any) -> None:
        """Create the Deployment `default/qwen`; `changes` as for `a_deployment`."""
        self.store.create("deployments.apps", a_deployment(replicas, **changes), namespace="default")

    def pods(self) -> list[dict[str, Any]]:
        """Return all pods."""
        return list(self.store.list("pods").items)

    def pod(self) -> dict[str, Any]:
        """Return the only pod."""
        (pod,) = self.pods()
        return pod

    def name(self) -> str:
        """Return the only pod's `namespace/name`."""
        return f"default/{self.pod()['metadata']['name']}"

    def host(self) -> EngineHost:
        """Return the only pod's engine host."""
        host = self.world.host_of(self.name())
        assert host is not None
        return host

    def events(self, kind: str) -> list[float]:
        """Return when engines started, stopped, ...; rounded to seconds."""
        return [round(t) for t, event, _ in self.engine_events if event == kind]

    def _on_engine(self, host: EngineHost, event: str, adapter: str, root: str) -> None:
        self.engine_events.append((self.env.now, event, adapter))

    def _on_pod(self, change: Any) -> None:
        if change.old is not None and is_ready(change.old) != is_ready(change.object):
            self.statuses.append((self.env.now, change.object["metadata"]["name"], is_ready(change.object)))


def a_deployment(
    replicas: int = 1,
    *,
    container: Mapping[str, Any] | None = None,
    sidecars: tuple[Mapping[str, Any], ...] = (),
    gpus: int = 1,
    spec: Mapping[str, Any] | None = None,
    pod: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a vLLM Deployment with a readiness probe."""
    engine = {
        "name": "vllm",
        "image": "vllm/vllm-openai:v0.27.0",
        "args": ["--model", "acme/base", "--enable-lora"],
        "env": [{"name": "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "value": "True"}],
        "readinessProbe": READINESS,
        "resources": {"limits": {"nvidia.com/gpu": str(gpus)}},
        **(container or {}),
    }
    engine = {name: value for name, value in engine.items() if value is not None}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "qwen", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "qwen"}},
            "template": {
                "metadata": {"labels": {"app": "qwen"}},
                "spec": {"containers": [engine, *sidecars], **(pod or {})},
            },
            **(spec or {}),
        },
    }


def condition(obj: Mapping[str, Any], type_: str) -> dict[str, Any]:
    """Return the condition of that type; empty if it is missing."""
    result = (item for item in obj.get("status", {}).get("conditions", ()) if item["type"] == type_)
    return next(result, {})


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Return True if the API reports the pod as ready."""
    return condition(pod, "Ready").get("status") == "True"


@pytest.fixture
def cluster() -> SimulatedCluster:
    """Return a cluster with two nodes of four GPUs."""
    return SimulatedCluster()


@pytest.fixture
def cluster_of() -> Callable[..., SimulatedCluster]:
    """Return a function that builds clusters of other sizes."""
    return SimulatedCluster
