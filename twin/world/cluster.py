"""The world as one thing: built from settings, changed by verbs.

`simulation.py` builds one, puts manifests into the store and lets time run; faults call the verbs. Everything
that happens inside an engine is told to `on_engine`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Address

import simpy

from controller.cache.pod_view import SIDECAR
from fake_vllm.distributions import Latency, LogNormal
from formats.timestamps import format_time
from twin.apiserver import Store
from twin.apiserver.meta.objects import EPOCH, Object, is_finished, is_terminating, key, split
from twin.kernel.random_streams import Streams
from twin.world.kubelet.kubelet import Kubelet
from twin.world.kubelet.pod_worker import PodWorker
from twin.world.network.engine_host import EngineHost, EngineSettings, OnEngine
from twin.world.network.sidecar_host import SidecarHost
from twin.world.nodes import Nodes, NodeSpec
from twin.world.registry import Artifacts, ArtifactSettings
from twin.world.scheduler import Scheduler
from twin.world.workloads.deployments import DEPLOYMENTS, RESTARTED_AT, Deployments
from twin.world.workloads.replicasets import ReplicaSets

DEFAULT = "default"
FIRST_ADDRESS = IPv4Address("10.0.0.1")
"""Of the first pod."""
POD_START = LogNormal(4.0, 10.0)  # seconds; sandbox, network, volumes; Kubernetes' own objective is 5 s for 99 %


@dataclass(frozen=True, slots=True)
class WorldSettings:
    """What manifests don't say."""

    nodes: Sequence[NodeSpec]
    engines: Mapping[str, EngineSettings] = field(default_factory=dict)
    """By Deployment name (a bare pod's own name); `default` is for the rest."""
    artifacts: ArtifactSettings = field(default_factory=ArtifactSettings)
    pod_start: Latency = POD_START
    """Seconds for image and sandbox, from when the kubelet has seen the pod; the image is on the node."""


class World:
    """Nodes, scheduler, workload controllers and kubelets around one store.

    It sees what is put into the store after it was built, so it is built first.
    """

    def __init__(
        self,
        env: simpy.Environment,
        store: Store,
        streams: Streams,
        settings: WorldSettings,
        on_engine: OnEngine = lambda host, event, adapter, root: None,  # noqa: ARG005
        *,
        epoch: datetime = EPOCH,
        first_address: IPv4Address = FIRST_ADDRESS,
    ) -> None:
        self._env = env
        self._store = store
        self._streams = streams
        self._settings = settings
        self._on_engine = on_engine
        self._epoch = epoch
        self.artifacts = Artifacts(store, settings.artifacts)
        """The registry."""
        self._sets = ReplicaSets(env, store, streams, self._now)
        self._deployments = Deployments(env, store, streams, self._now, self._sets)
        self._scheduler = Scheduler(env, store, streams, self._now)
        names = frozenset(spec.name for spec in settings.nodes)
        self._kubelet = Kubelet(env, store, streams, self._at, settings.pod_start, self._new_host, first_address, names)
        self._nodes = Nodes(env, store, self._now, settings.nodes, self._kubelet)
        self.hosts: Mapping[str, EngineHost] = self._kubelet.hosts
        """By IP address; only pods whose containers have been started."""

    def start(self) -> None:
        """Creates the nodes."""
        self._nodes.start()

    def host_of(self, pod: str) -> EngineHost | None:
        """The engine's host of a pod (`namespace/name`), None if its kubelet has not seen it."""
        run = self._kubelet.runs.get(pod)
        return None if run is None else run.host

    def pods_of(self, deployment: str) -> list[str]:
        """Pods of a Deployment (`namespace/name`), old and new, those that are terminating too."""
        return self._deployments.pods_of(deployment)

    def workload_of(self, pod: Object) -> str:
        """Name of the Deployment that a pod object belongs to; empty if none."""
        return self._deployments.of_pod(pod) or ""

    def running_pods(self) -> list[str]:
        """All pods that are neither finished nor terminating, sorted."""
        pods = self._store.list("pods").items
        return sorted(key(pod) for pod in pods if not is_terminating(pod) and not is_finished(pod))

    def restart_engine(self, pod: str) -> None:
        """The engine's container is killed now; the kubelet restarts it in place.

        Raises:
            ValueError: if the pod is not on a node.
        """
        self._run(pod).exit_engine()

    def force_unready(self, pod: str, unready: bool) -> None:
        """The pod's readiness fails by force, or is the probe's again; its status says so at once.

        Raises:
            ValueError: if the pod is not on a node.
        """
        self._run(pod).force_unready(unready)

    def kill_pod(self, pod: str) -> None:
        """Deletes the pod without grace: object, engine and address are gone at once.

        Raises:
            ApiError: 404 if there is no such pod.
        """
        namespace, name = split(pod)
        self._store.delete("pods", namespace, name, grace_period=0)

    def node_down(self, node: str) -> None:
        """The node loses power. Raises ValueError if there is no such node, or it is down already."""
        self._nodes.down(node)

    def node_up(self, node: str) -> None:
        """The node boots again. Raises ValueError if there is no such node, or it is not down."""
        self._nodes.up(node)

    def hold_termination(self, pod: str, seconds: float) -> None:
        """Deletes the pod, whose containers do not end: it stays terminating for so long, and its engine works on.

        Raises:
            ValueError: if the pod is not on a node.
        """
        self._run(pod).termination_hold = seconds
        namespace, name = split(pod)
        self._store.delete("pods", namespace, name)

    def drain(self, node: str) -> None:
        """No new pods on the node, and its own are evicted. Raises ValueError if there is no such node."""
        self._nodes.drain(node)

    def uncordon(self, node: str) -> None:
        """The node takes pods again. Raises ValueError if there is no such node."""
        self._nodes.uncordon(node)

    def rollout(self, deployment: str) -> None:
        """`kubectl rollout restart` of a Deployment (`namespace/name`).

        Raises:
            ApiError: 404 if there is no such Deployment.
        """
        namespace, name = split(deployment)
        annotations = {RESTARTED_AT: format_time(self._now())}
        body = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
        self._store.patch(DEPLOYMENTS, namespace, name, body, manager="kubectl-rollout")

    def _run(self, pod: str) -> PodWorker:
        run = self._kubelet.runs.get(pod)
        if run is None:
            raise ValueError(f"pod {pod} does not run on any node; see living_pods() for those that may")
        return run

    def _now(self) -> datetime:
        return self._at(self._env.now)

    def _at(self, moment: float) -> datetime:
        return self._epoch + timedelta(seconds=moment)

    def _new_host(self, pod: Object) -> EngineHost:
        engines = self._settings.engines
        workload = self._deployments.of_pod(pod) or pod["metadata"]["name"]
        settings = engines.get(workload) or engines.get(DEFAULT) or EngineSettings()
        host = EngineHost(
            self._env,
            self._streams,
            key(pod),
            pod["metadata"]["uid"],
            settings,
            self.artifacts,
            self._on_engine,
            int(self._epoch.timestamp()),
        )
        if any(container["name"] == SIDECAR for container in pod["spec"]["containers"]):
            host.sidecar = SidecarHost(self.artifacts)
        return host
