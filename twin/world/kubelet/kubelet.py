"""The kubelets of the simulated nodes: each pod that is bound to a running node gets a `PodWorker`.

Pods on nodes that other clients have created are left to those clients (`twin node`).

Follows the store's pods. A status is written when it has changed, without delay: a kubelet's reporting delay is small
compared with a probe's period and is not simulated.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from itertools import count

from fake_vllm.distributions import Latency, Uniform
from twin.apiserver import Change
from twin.apiserver.meta.objects import Object, is_finished, is_terminating, key, split
from twin.world.context import WorldContext
from twin.world.kubelet.images import Images, ImageSettings
from twin.world.kubelet.lifecycle import ContainerRuns
from twin.world.kubelet.pod_worker import KubeletContext, PodWorker
from twin.world.network.engine_host import EngineHost
from twin.world.work import DelayedQueue

_IPV6_PODS = IPv6Address("fd00:10:244::")  # kind's network of pods
DELAY = Uniform(0.010, 0.050)  # seconds until a kubelet handles a change: its watch, and its worker's queue


@dataclass(frozen=True, slots=True)
class KubeletSettings:
    """Settings of all kubelets.

    Attributes:
        nodes: names of the simulated nodes.
        pod_start: seconds for image and sandbox.
        first_address: address of the first pod; each later pod gets the next one, and none is used twice.
        ip_families: address families of a pod, the primary one first.
        runs: runs of containers that end by themselves.
        images: registries, and images on the nodes.
    """

    nodes: Collection[str]
    pod_start: Latency
    first_address: IPv4Address
    ip_families: Sequence[str] = ("IPv4",)
    runs: ContainerRuns = field(default_factory=ContainerRuns)
    images: ImageSettings = field(default_factory=ImageSettings)


class Kubelet:
    """The kubelets of all nodes; `hosts` is by IP address, `workers` by pod."""

    def __init__(
        self, context: WorldContext, settings: KubeletSettings, new_host: Callable[[Object], EngineHost]
    ) -> None:
        self.hosts: dict[str, EngineHost] = {}
        self.workers: dict[str, PodWorker] = {}
        self._waiting: dict[str, Object] = {}  # bound, not yet admitted
        self._powered_off: set[str] = set()
        self._disconnected: set[str] = set()
        self._orphans: list[PodWorker] = []  # pods that were deleted while their node was lost
        self._nodes = settings.nodes
        self._new_host = new_host
        self.images = Images(context, settings.images)
        """Images on the nodes, and their registries."""
        addresses = (_addresses(settings.first_address + number, settings.ip_families) for number in count())
        self._context = KubeletContext(
            context,
            settings.pod_start,
            self.hosts,
            lambda: next(addresses),
            self.images,
            settings.runs,
        )
        self._admissions = DelayedQueue(context, "kubelet", DELAY, self._admit)
        self._retries = DelayedQueue(context, "kubelet-config", DELAY, self._retry_config)
        context.store.subscribe(self._on_pod, "pods")
        context.store.subscribe(self._on_config, "secrets")
        context.store.subscribe(self._on_config, "configmaps")

    def power_off(self, node: str) -> None:
        """Power off a node."""
        self._powered_off.add(node)
        for worker in self._on(node):
            worker.power_off()

    def power_on(self, node: str) -> None:
        """Boot a node: its pods start again, and waiting pods are admitted."""
        self._powered_off.discard(node)
        for worker in self._on(node):
            worker.power_on()
        for name in list(self._waiting):
            self._admissions.add(name)

    def disconnect(self, node: str) -> None:
        """Separate a kubelet from the API server: it sees and reports nothing, and its containers run on."""
        self._disconnected.add(node)
        for worker in self._on(node):
            worker.disconnect()

    def reconnect(self, node: str) -> None:
        """Reconnect a kubelet: it ends the pods that were deleted, reports the others, and admits waiting pods."""
        self._disconnected.discard(node)
        gone = [worker for worker in self._orphans if worker.node_name == node]
        self._orphans = [worker for worker in self._orphans if worker.node_name != node]
        for worker in gone:
            worker.delete_now()
        for worker in self._on(node):
            worker.reconnect(self._context.world.store.get("pods", *split(worker.key)))
        for name in list(self._waiting):
            self._admissions.add(name)

    def _on(self, node: str) -> list[PodWorker]:
        return [worker for worker in self.workers.values() if worker.node_name == node]

    def _on_pod(self, change: Change) -> None:
        pod, name = change.object, key(change.object)
        worker = self.workers.get(name)
        if worker is not None and not worker.connected:
            if change.type == "DELETED":
                self._orphans.append(self.workers.pop(name))
        elif change.type == "DELETED":
            self._waiting.pop(name, None)
            if worker is not None:
                del self.workers[name]
                worker.delete_now()
        elif worker is not None:
            worker.update(pod)
            if is_terminating(pod) and not worker.terminating:
                worker.terminate()
        elif pod["spec"].get("nodeName") in self._nodes and not is_finished(pod):
            self._waiting[name] = pod
            self._admissions.add(name)

    def _admit(self, name: str) -> None:
        pod = self._waiting.get(name)
        if pod is None or pod["spec"]["nodeName"] in self._powered_off | self._disconnected:
            return
        del self._waiting[name]
        worker = PodWorker(self._context, pod, self._new_host(pod))
        self.workers[name] = worker
        if is_terminating(pod):
            worker.terminate()
        else:
            worker.start()

    def _on_config(self, change: Change) -> None:
        if change.type != "DELETED":
            self._retries.add(change.object["metadata"]["namespace"])

    def _retry_config(self, namespace: str) -> None:
        for worker in list(self.workers.values()):
            if split(worker.key)[0] == namespace:
                worker.retry_config()


def _addresses(address: IPv4Address, families: Sequence[str]) -> tuple[str, ...]:
    """Return one address of each family; that of IPv6 ends in the same number."""
    return tuple(str(address if family == "IPv4" else _IPV6_PODS + int(address)) for family in families)
