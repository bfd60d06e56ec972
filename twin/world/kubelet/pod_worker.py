"""The life cycle of a pod on its node: image and sandbox, containers, termination, power failures.

`kubelet.py` says when each step begins. Init containers run one after the other and native sidecars start in between,
before the pod's own containers. A deleted pod gets SIGTERM after its `preStop` hooks. Not simulated: volumes, resource
limits.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fake_vllm.distributions import Latency, Uniform
from formats.timestamps import format_time
from twin.apiserver.meta.objects import Object, is_terminating, key, split
from twin.world.context import WorldContext
from twin.world.kubelet.container import SIGKILL, ContainerContext, ContainerRuntime
from twin.world.kubelet.images import Images
from twin.world.kubelet.lifecycle import ContainerRuns, pre_stop_seconds
from twin.world.kubelet.pod_spec import engine_of, has_engine, in_start_order
from twin.world.kubelet.pod_status import pod_status
from twin.world.network.engine_host import EngineHost
from twin.world.work import Timer

DRAIN = Uniform(1.0, 3.0)  # seconds from SIGTERM until the process of an engine without requests has exited
_DRAIN_CHECK = 0.5  # seconds
GRACE = 30.0  # seconds; Kubernetes docs, terminationGracePeriodSeconds
_LEAST_GRACE = 2.0  # seconds left after the preStop hooks; the kubelet's minimumGracePeriodInSeconds


@dataclass(frozen=True, slots=True)
class KubeletContext:
    """Values that all pods of the simulated nodes share.

    Attributes:
        world: the simulated cluster.
        pod_start: seconds for image and sandbox.
        hosts: the hosts of all pods, by IP address.
        new_ips: returns addresses that were never used, one of each family of the cluster.
        images: the images on all nodes.
        runs: runs of containers that end by themselves.
    """

    world: WorldContext
    pod_start: Latency
    hosts: dict[str, EngineHost]
    new_ips: Callable[[], tuple[str, ...]]
    images: Images
    runs: ContainerRuns = field(default_factory=ContainerRuns)


class PodWorker:
    """One pod, from its admission by the kubelet until its deletion."""

    def __init__(self, context: KubeletContext, pod: Object, host: EngineHost) -> None:
        self.pod = pod
        self.key = key(pod)
        self.node_name: str = pod["spec"]["nodeName"]
        self.host = host
        self.terminating = False
        self.connected = True
        """False while the kubelet does not reach the API server."""
        self.termination_hold: float | None = None
        """Seconds for which the containers ignore their termination; None if they end normally."""
        self._context = context
        self._env = context.world.env
        self._streams = context.world.streams
        self._forced_unready = False
        self._powered = True
        self._starting = False
        self._waiting: list[ContainerRuntime] = []
        """Containers that wait for init containers and native sidecars."""
        self._drained_by = 0.0
        self._grace = GRACE
        self._stream = f"pod/{self.key}/kubelet"
        self._start_timer = Timer(self._env, self._start_containers)
        self._end_timer = Timer(self._env, self._finish)
        self._term_timer = Timer(self._env, self._send_term)
        self._gates = bool(pod["spec"].get("readinessGates"))
        self._pre_stop = max(pre_stop_seconds(spec) for spec in pod["spec"]["containers"])
        engine = engine_of(pod["metadata"], pod["spec"])
        self._containers = self._new_containers(engine)
        self._engine = next((item for item in self._containers if item.name == engine), self._containers[-1])
        host.on_change.append(self._refresh)
        host.faults.on_change.append(self._refresh)

    def _new_containers(self, engine: str) -> list[ContainerRuntime]:
        meta, spec = self.pod["metadata"], self.pod["spec"]
        runs_engine = has_engine(meta, spec)
        context = ContainerContext(
            self._context.world,
            self.host,
            self.node_name,
            self._context.images,
            spec.get("restartPolicy") or "Always",
            labels=meta.get("labels") or {},
            has_engine=runs_engine,
            runs=self._context.runs,
        )
        init = len(spec.get("initContainers") or ())
        containers = [
            ContainerRuntime(
                item,
                context,
                is_engine=runs_engine and item["name"] == engine and index >= init,
                is_init=index < init,
                on_change=self._on_container,
            )
            for index, item in enumerate(in_start_order(spec))
        ]
        for container in containers[init:] if init else ():
            container.reason = "PodInitializing"
        return containers

    def start(self) -> None:
        """Start an admitted pod: pull images, create the sandbox."""
        self._write()
        self._start_timer.set(self._env.now + self._context.pod_start.draw(self._streams.get(self._stream)))

    def terminate(self) -> None:
        """Send SIGTERM; the containers end soon, or when requests have drained. Writes no status.

        After the grace period they are killed.
        """
        self.terminating = True
        self._start_timer.cancel()
        if not self._powered:
            return
        default = self.pod["spec"].get("terminationGracePeriodSeconds", GRACE)
        grace = float(self.pod["metadata"].get("deletionGracePeriodSeconds", default))
        if self._pre_stop and self.termination_hold is None and self.host.ip:
            self._grace = max(grace - self._pre_stop, _LEAST_GRACE)
            self._term_timer.set(self._env.now + min(self._pre_stop, grace))
        else:
            self._grace = grace
            self._send_term()

    def _send_term(self) -> None:
        grace = self._grace
        drain = min(DRAIN.draw(self._streams.get(self._stream)), grace) if self.host.ip else 0.0
        if self.termination_hold is None:
            self._drained_by = self._env.now + min(self.host.terminate(), grace)
        self._end_timer.set(self._env.now + (drain if self.termination_hold is None else self.termination_hold))

    def delete_now(self) -> None:
        """End the processes and release the address: the object has been deleted from the API."""
        self._cancel_timers()
        for container in self._containers:
            container.stop()
        self._release_addresses()
        self.host.reachable = False

    def exit_engine(self) -> None:
        """Kill the engine's process; the container restarts in place."""
        self._engine.exit(SIGKILL, "Error")

    def force_unready(self, unready: bool) -> None:
        """Make the pod unready regardless of its probe, or leave it to the probe again; written immediately."""
        self._forced_unready = unready
        if self.host.ip:
            self._write()

    def retry_config(self) -> None:
        """Handle a change of a Secret or ConfigMap in the pod's namespace."""
        if self._powered and not self.terminating:
            for container in self._containers:
                container.retry()

    def power_off(self) -> None:
        """Lose power: the processes are gone, and nothing answers or reports."""
        self._powered = False
        self.host.reachable = False
        self._cancel_timers()
        for container in self._containers:
            container.power_off()

    def power_on(self) -> None:
        """Start in a new sandbox with a new address, or end a pod that was deleted in the meantime."""
        self._powered = True
        if self.terminating:
            self._end_timer.set(self._env.now)
            return
        self._release_addresses()
        self.host.ips = ()
        self.start()

    def disconnect(self) -> None:
        """Lose the API server: nothing is reported, and changes of the pod are not seen."""
        self.connected = False

    def reconnect(self, pod: Object) -> None:
        """Report the status, or end the pod if it was deleted in the meantime; `pod` is the present object."""
        self.connected = True
        self.pod = pod
        if is_terminating(pod) and not self.terminating:
            self.terminate()
        else:
            self._write()

    def update(self, pod: Object) -> None:
        """Update the pod object; conditions of readiness gates that others have written count at once."""
        self.pod = pod
        if self._gates and self.host.ip:
            self._write()

    def _cancel_timers(self) -> None:
        for timer in (self._start_timer, self._end_timer, self._term_timer):
            timer.cancel()

    def _release_addresses(self) -> None:
        for ip in self.host.ips:
            self._context.hosts.pop(ip, None)

    def _start_containers(self) -> None:
        self.host.ips = self._context.new_ips()
        self.host.reachable = True
        self._context.hosts.update(dict.fromkeys(self.host.ips, self.host))
        self._waiting = list(self._containers)
        self._launch()

    def _on_container(self) -> None:
        """Write the status after a change of a container, and start those that waited for it."""
        if self._waiting and not self._starting:
            self._launch()
        else:
            self._stop_sidecars()
            self._write()

    def _stop_sidecars(self) -> None:
        """Stop native sidecars once the pod's own containers have ended for good."""
        own = [item for item in self._containers if not item.is_init]
        if len(own) < len(self._containers) and all(item.finished for item in own):
            for item in self._containers:
                if item.is_init:
                    item.stop()

    def _launch(self) -> None:
        """Start containers in order; each waits until the init container or native sidecar before it is done."""
        self._starting = True  # write one status for all containers
        while self._waiting and self._powered and not self.terminating:
            before = [item for item in self._containers if item.is_init and item not in self._waiting]
            if before and not before[-1].initialized:
                break
            self._waiting.pop(0).launch()
        self._starting = False
        self._write()

    def _finish(self) -> None:
        if not self.host.is_idle and self._env.now < self._drained_by:
            self._end_timer.set(min(self._env.now + _DRAIN_CHECK, self._drained_by))
            return
        for container in self._containers:
            container.stop()
        namespace, name = split(self.key)
        self._context.world.store.delete("pods", namespace, name, uid=self.host.uid, grace_period=0)

    def _refresh(self) -> None:
        for container in self._containers:
            container.refresh()

    def _write(self) -> None:
        """Write the status if it differs from the API's."""
        if not self._powered or not self.connected or self._starting:
            return
        status: dict[str, Any] = pod_status(
            self.pod,
            self._containers,
            ips=self.host.ips,
            forced_unready=self._forced_unready,
            now=self._env.now,
            at=lambda seconds: format_time(self._context.world.at(seconds)),
        )
        before: Object = self.pod.get("status") or {}
        if all(before.get(field) == value for field, value in status.items()):
            return
        namespace, name = split(self.key)
        self._context.world.store.patch(
            "pods", namespace, name, {"status": status}, subresource="status", manager="kubelet"
        )
