"""The simulated cluster as one object: built from settings, changed by verbs.

`twin/sim/simulation.py` builds one, puts manifests into the store and lets time run; faults call the verbs. Everything
that happens inside an engine is reported to `on_engine`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from fake_vllm.distributions import Latency, LogNormal
from formats.timestamps import format_time
from twin.apiserver.meta.objects import Object, is_finished, is_terminating, key, split
from twin.world.autoscaling.autoscalers import Autoscalers
from twin.world.autoscaling.metrics import EngineMetrics, Metrics
from twin.world.context import WorldContext
from twin.world.disruption import DisruptionBudgets
from twin.world.groups.leader_worker_sets import LeaderWorkerSets
from twin.world.groups.pod_sets import PodSets
from twin.world.groups.ray_clusters import RayClusters
from twin.world.groups.ray_services import RayServices
from twin.world.groups.role_sets import RoleSets
from twin.world.groups.storm_services import StormServices
from twin.world.kubelet.images import Images, ImageSettings
from twin.world.kubelet.kubelet import Kubelet, KubeletSettings
from twin.world.kubelet.lifecycle import ContainerRuns
from twin.world.kubelet.pod_spec import has_runtime_sidecar
from twin.world.kubelet.pod_worker import PodWorker
from twin.world.namespaces import Namespaces
from twin.world.network.engine_host import EngineHost, EngineSettings, HostContext, OnEngine
from twin.world.nodes.drain import Drain
from twin.world.nodes.nodes import Nodes, NodeSpec
from twin.world.nodes.pod_gc import PodGarbageCollector
from twin.world.nodes.taint_eviction import TaintEvictions
from twin.world.quotas import Quotas
from twin.world.registry import Artifacts, ArtifactSettings
from twin.world.scheduling.scheduler import Scheduler
from twin.world.workloads.daemonsets import DaemonSets
from twin.world.workloads.deployments import DEPLOYMENTS, RESTARTED_AT, Deployments
from twin.world.workloads.jobs import Jobs
from twin.world.workloads.owners import Owners
from twin.world.workloads.replicasets import ReplicaSets
from twin.world.workloads.statefulsets import StatefulSets

if TYPE_CHECKING:
    from twin.world.network.sidecar_host import SidecarHost

_CONTROLLERS = (
    *(StatefulSets, DaemonSets, Jobs),
    *(LeaderWorkerSets, StormServices, RoleSets, PodSets, RayServices, RayClusters),
)
"""Controllers that follow pods only once there is an object of their kind."""
DEFAULT = "default"
FIRST_ADDRESS = IPv4Address("10.0.0.1")
"""Address of the first pod."""
POD_START = LogNormal(4.0, 10.0)  # seconds; sandbox, network, volumes; Kubernetes' own objective is 5 s for 99 %


@dataclass(frozen=True, slots=True)
class WorldSettings:
    """Properties of the cluster that manifests do not contain."""

    nodes: Sequence[NodeSpec]
    engines: Mapping[str, EngineSettings] = field(default_factory=dict)
    """By name of the workload, or of a bare pod; `default` applies to all others."""
    artifacts: ArtifactSettings = field(default_factory=ArtifactSettings)
    pod_start: Latency = POD_START
    """Seconds for image and sandbox, once the kubelet has seen the pod; the image is on the node."""
    first_address: IPv4Address = FIRST_ADDRESS
    """Address of the first pod; later pods get the next ones."""
    runs: ContainerRuns = field(default_factory=ContainerRuns)
    """Runs of containers that end by themselves, by container name."""
    images: ImageSettings = field(default_factory=ImageSettings)
    """Registries of container images, and the images on the nodes."""
    ip_families: Sequence[str] = ("IPv4",)
    """Address families of a pod, the primary one first."""
    metrics: Metrics | None = None
    """Metrics for HorizontalPodAutoscalers; None offers those of the engines."""


class World:
    """Nodes, scheduler, workload controllers and kubelets around one store.

    It follows the store from its creation on, so it is created before any object.
    """

    def __init__(
        self,
        context: WorldContext,
        settings: WorldSettings,
        on_engine: OnEngine = lambda host, event, adapter, root: None,  # noqa: ARG005
    ) -> None:
        self._context = context
        self._settings = settings
        self._on_engine = on_engine
        self.artifacts = Artifacts(context.store, settings.artifacts)
        """The registry."""
        self._sets = ReplicaSets(context)
        self._deployments = Deployments(context, self._sets)
        self._owners = Owners(context.store)
        self._others = [controller(context, self._sets.pods) for controller in _CONTROLLERS]
        self._namespaces = Namespaces(context)
        self._budgets = DisruptionBudgets(context)
        self._quotas = Quotas(context)
        self._evictions = TaintEvictions(context)
        self._scheduler = Scheduler(context)
        names = frozenset(spec.name for spec in settings.nodes)
        kubelet_settings = KubeletSettings(
            names, settings.pod_start, settings.first_address, settings.ip_families, settings.runs, settings.images
        )
        self._kubelet = Kubelet(context, kubelet_settings, self._new_host)
        self.images: Images = self._kubelet.images
        """Registries of container images."""
        self._nodes = Nodes(context, settings.nodes, self._kubelet)
        self._drain = Drain(context, self._nodes)
        self._pod_gc = PodGarbageCollector(context)
        self.hosts: Mapping[str, EngineHost] = self._kubelet.hosts
        """By IP address; only pods whose containers have been started."""
        metrics = settings.metrics or EngineMetrics(self.hosts, lambda: context.now().timestamp())
        self._autoscalers = Autoscalers(context, metrics)

    def start(self) -> None:
        """Create the nodes."""
        self._nodes.start()

    def host_of(self, pod: str) -> EngineHost | None:
        """Return the engine's host of a pod (`namespace/name`), None if its kubelet has not seen it."""
        worker = self._kubelet.workers.get(pod)
        return None if worker is None else worker.host

    def pods_of(self, workload: str) -> list[str]:
        """Return the pods of a Deployment or another workload (`namespace/name`), old, new and terminating."""
        namespace, name = split(workload)
        pods = self._context.store.list("pods", namespace=namespace).items
        return [key(pod) for pod in pods if self.workload_of(pod) == name]

    def workload_of(self, pod: Object) -> str:
        """Return the name of the workload that a pod object belongs to; empty for a bare pod."""
        return self._owners.of_pod(pod)

    def running_pods(self) -> list[str]:
        """Return all pods that are neither finished nor terminating, sorted."""
        pods = self._context.store.list("pods").items
        return sorted(key(pod) for pod in pods if not is_terminating(pod) and not is_finished(pod))

    def restart_engine(self, pod: str) -> None:
        """Kill the engine's container; the kubelet restarts it in place.

        Raises:
            ValueError: if the pod is not on a node.
        """
        self._worker(pod).exit_engine()

    def kill_engine_core(self, pod: str) -> None:
        """Kill the engine core in a pod: its server ends by itself after some seconds, and restarts in place.

        Raises:
            ValueError: if the pod is not on a node.
        """
        self._worker(pod).host.kill_core()

    def force_unready(self, pod: str, unready: bool) -> None:
        """Make the pod unready regardless of its probe, or leave its readiness to the probe again.

        The status is written immediately.

        Raises:
            ValueError: if the pod is not on a node.
        """
        self._worker(pod).force_unready(unready)

    def kill_pod(self, pod: str) -> None:
        """Delete the pod without grace period: object, engine and address are gone at once.

        Raises:
            ApiError: 404 if there is no such pod.
        """
        namespace, name = split(pod)
        self._context.store.delete("pods", namespace, name, grace_period=0)

    def node_down(self, node: str) -> None:
        """Power off a node. Raises ValueError if there is no such node, or it is already down."""
        self._nodes.down(node)

    def node_up(self, node: str) -> None:
        """Boot a node. Raises ValueError if there is no such node, or it is not down."""
        self._nodes.up(node)

    def node_lost(self, node: str) -> None:
        """Separate a node's kubelet from the API server. Raises ValueError if there is no such node that is well."""
        self._nodes.lose(node)

    def node_found(self, node: str) -> None:
        """Reconnect a node. Raises ValueError if there is no such node, or it is not lost."""
        self._nodes.find(node)

    def node_not_ready(self, node: str) -> None:
        """Let a kubelet report its node as not ready. Raises ValueError if there is no such node that is well."""
        self._nodes.fail(node)

    def node_ready(self, node: str) -> None:
        """Let a kubelet report its node as ready again. Raises ValueError if it is not the one that was not ready."""
        self._nodes.recover(node)

    def hold_termination(self, pod: str, seconds: float) -> None:
        """Delete the pod, but keep it terminating for `seconds`; its engine continues to work during that time.

        Raises:
            ValueError: if the pod is not on a node.
        """
        self._worker(pod).termination_hold = seconds
        namespace, name = split(pod)
        self._context.store.delete("pods", namespace, name)

    def drain(self, node: str) -> None:
        """Cordon the node and evict its pods. Raises ValueError if there is no such node."""
        self._drain.begin(node)

    def uncordon(self, node: str) -> None:
        """Make the node schedulable again. Raises ValueError if there is no such node."""
        self._drain.uncordon(node)

    def rollout(self, workload: str, resource: str = DEPLOYMENTS) -> None:
        """Do `kubectl rollout restart` of a Deployment, StatefulSet or DaemonSet (`namespace/name`).

        Raises:
            ApiError: 404 if there is no such object.
        """
        namespace, name = split(workload)
        annotations = {RESTARTED_AT: format_time(self._context.now())}
        body = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
        self._context.store.patch(resource, namespace, name, body, manager="kubectl-rollout")

    def _worker(self, pod: str) -> PodWorker:
        worker = self._kubelet.workers.get(pod)
        if worker is None:
            raise ValueError(f"pod {pod} is not on a node; running_pods() lists those that may be")
        return worker

    def _new_host(self, pod: Object) -> EngineHost:
        engines = self._settings.engines
        workload = self.workload_of(pod) or pod["metadata"]["name"]
        settings = engines.get(workload) or engines.get(DEFAULT) or EngineSettings()
        return EngineHost(
            HostContext(self._context, settings, self.artifacts, self._on_engine),
            key(pod),
            pod["metadata"]["uid"],
            self._new_sidecar() if has_runtime_sidecar(pod["spec"]) else None,
        )

    def _new_sidecar(self) -> "SidecarHost":
        from twin.world.network.sidecar_host import SidecarHost  # slow to import, and most scenarios have no sidecar

        return SidecarHost(self.artifacts)
