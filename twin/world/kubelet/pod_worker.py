"""One pod's life on its node: image and sandbox, containers, termination, power failures.

The kubelet (`kubelet.py`) says when each begins. What is not simulated: init containers, volumes, resource
limits, and the time that an image takes apart from the pod's start-up latency.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fake_vllm.distributions import Latency, Uniform
from twin.apiserver.meta.objects import Object, key, split, stamp
from twin.world.context import WorldContext
from twin.world.kubelet.container import SIGKILL, ContainerContext, ContainerRuntime
from twin.world.kubelet.pod_spec import engine_index, is_operator
from twin.world.kubelet.pod_status import pod_status
from twin.world.network.engine_host import EngineHost
from twin.world.work import Timer

DRAIN = Uniform(1.0, 3.0)  # seconds from SIGTERM until an engine has closed; vLLM aborts what runs and leaves
GRACE = 30.0  # seconds; Kubernetes docs, terminationGracePeriodSeconds


@dataclass(frozen=True, slots=True)
class KubeletContext:
    """What all pods of the simulated nodes share.

    Attributes:
        world: the simulated cluster.
        pod_start: seconds for image and sandbox.
        hosts: the hosts of all pods, by IP address.
        new_ip: returns an address that was never used.
    """

    world: WorldContext
    pod_start: Latency
    hosts: dict[str, EngineHost]
    new_ip: Callable[[], str]


class PodWorker:
    """One pod, from the moment its kubelet has seen it until it is gone."""

    def __init__(self, context: KubeletContext, pod: Object, host: EngineHost) -> None:
        self.pod = pod
        self.key = key(pod)
        self.node_name: str = pod["spec"]["nodeName"]
        self.host = host
        self.terminating = False
        self.termination_hold: float | None = None
        """Seconds for which the containers do not end, whatever they are told; None if they do."""
        self._context = context
        self._env = context.world.env
        self._streams = context.world.streams
        self._forced_unready = False
        self._powered = True
        self._quiet = False
        self._stream = f"pod/{self.key}/kubelet"
        self._start_timer = Timer(self._env, self._start_containers)
        self._end_timer = Timer(self._env, self._finish)
        containers = pod["spec"]["containers"]
        engine, operator = engine_index(containers), is_operator(containers)
        policy = pod["spec"].get("restartPolicy") or "Always"
        labels = pod["metadata"].get("labels") or {}
        container_context = ContainerContext(context.world, host, policy, labels=labels, has_engine=not operator)
        self._containers = [
            ContainerRuntime(spec, container_context, is_engine=index == engine and not operator, on_change=self._write)
            for index, spec in enumerate(containers)
        ]
        self._engine = self._containers[engine]
        host.on_change.append(self._refresh)
        host.faults.on_change.append(self._refresh)

    def start(self) -> None:
        """The kubelet has admitted the pod: pull images, make the sandbox."""
        self._write()
        self._start_timer.set(self._env.now + self._context.pod_start.draw(self._streams.get(self._stream)))

    def terminate(self) -> None:
        """SIGTERM; the containers end after a short drain, the grace period at most. Writes nothing at once."""
        self.terminating = True
        self._start_timer.cancel()
        if not self._powered:
            return
        default = self.pod["spec"].get("terminationGracePeriodSeconds", GRACE)
        grace = float(self.pod["metadata"].get("deletionGracePeriodSeconds", default))
        drain = min(DRAIN.draw(self._streams.get(self._stream)), grace) if self.host.ip else 0.0
        self._end_timer.set(self._env.now + (drain if self.termination_hold is None else self.termination_hold))

    def delete_now(self) -> None:
        """The object is gone from the API: so are the processes, and the address leads nowhere."""
        self._start_timer.cancel()
        self._end_timer.cancel()
        for container in self._containers:
            container.stop()
        self._context.hosts.pop(self.host.ip, None)
        self.host.reachable = False

    def exit_engine(self) -> None:
        """The engine's process is killed; the container restarts in place."""
        self._engine.exit(SIGKILL, "Error")

    def force_unready(self, unready: bool) -> None:
        """Readiness fails by force, or is left to the probe again; written at once."""
        self._forced_unready = unready
        if self.host.ip:
            self._write()

    def retry_config(self) -> None:
        """A Secret or ConfigMap in its namespace has changed."""
        if self._powered and not self.terminating:
            for container in self._containers:
                container.retry()

    def power_off(self) -> None:
        """The node has lost power: processes are gone, nobody answers, nobody reports."""
        self._powered = False
        self.host.reachable = False
        self._start_timer.cancel()
        self._end_timer.cancel()
        for container in self._containers:
            container.power_off()

    def power_on(self) -> None:
        """The node is back: a new sandbox with a new address, or the end of a pod that was deleted meanwhile."""
        self._powered = True
        if self.terminating:
            self._end_timer.set(self._env.now)
            return
        self._context.hosts.pop(self.host.ip, None)
        self.host.ip = ""
        self.start()

    def _start_containers(self) -> None:
        self.host.ip = self._context.new_ip()
        self.host.reachable = True
        self._context.hosts[self.host.ip] = self.host
        self._quiet = True  # one status for all of them
        for container in self._containers:
            container.launch()
        self._quiet = False
        self._write()

    def _finish(self) -> None:
        for container in self._containers:
            container.stop()
        namespace, name = split(self.key)
        self._context.world.store.delete("pods", namespace, name, uid=self.host.uid, grace_period=0)

    def _refresh(self) -> None:
        for container in self._containers:
            container.refresh()

    def _write(self) -> None:
        """Writes the status if it differs from what the API has."""
        if not self._powered or self._quiet:
            return
        status: dict[str, Any] = pod_status(
            self.pod,
            self._containers,
            ip=self.host.ip,
            forced_unready=self._forced_unready,
            now=self._env.now,
            at=lambda moment: stamp(self._context.world.at(moment)),
        )
        before: Object = self.pod.get("status") or {}
        if all(before.get(field) == value for field, value in status.items()):
            return
        namespace, name = split(self.key)
        self._context.world.store.patch(
            "pods", namespace, name, {"status": status}, subresource="status", manager="kubelet"
        )
