"""The kubelet of a node whose containers are processes of this machine.

It creates the Node (with a taint, so that only pods that ask for it get there), follows the pods that are bound to it,
and gives each an address: 10.x.y.z in the cluster, 127.x.y.z on this machine (`twin.serve.network.node_transport`).
Containers get the latter as `status.podIP`, by the downward API, and listen there. When the kubelet stops, so do its
processes; its pods and the Node are deleted.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path

import httpx

from controller.clock import Clock
from formats.timestamps import format_time
from twin.apiserver import ApiError
from twin.apiserver.meta.objects import Object, is_terminating
from twin.process_node.client import NODES, PODS, ApiClient, pod_path
from twin.process_node.container import ProcessContainer
from twin.serve.network.engine_sockets import loopback_address
from twin.world.kubelet.pod_spec import ConfigMissing, environment, long_running
from twin.world.kubelet.pod_status import pod_status

TAINT = {"key": "lora-twin/processes", "value": "true", "effect": "NoSchedule"}
_GRACE = 30.0  # seconds; Kubernetes docs, terminationGracePeriodSeconds
_RETRY = 1.0  # seconds until a missing Secret is looked up again

OnLine = Callable[[str], None]
"""Called with each line of the node's own log."""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """Settings of a node.

    Attributes:
        name: name of the Node.
        first_address: address of the first pod; later pods get the next ones.
        logs: directory for the output of the processes.
    """

    name: str
    first_address: IPv4Address
    logs: Path


class NodeKubelet:
    """The kubelet of one node."""

    def __init__(self, api: ApiClient, settings: NodeSettings, clock: Clock, log: OnLine) -> None:
        self._api = api
        self._name = settings.name
        self._addresses = (str(settings.first_address + number) for number in count())
        self._logs = settings.logs
        self._clock = clock
        self._log = log
        self._pods: dict[str, tuple[PodProcesses, asyncio.Task[None]]] = {}
        """By uid."""

    async def run(self) -> None:
        """Join the cluster, run pods until cancelled, leave the cluster.

        Raises:
            ApiError: the server refuses a request.
            httpx.TransportError: the server does not respond.
        """
        await self._join()
        try:
            while True:
                await self._follow()
        finally:
            await self._leave()

    async def _join(self) -> None:
        meta = {"name": self._name, "labels": {"kubernetes.io/hostname": self._name}}
        await self._api.create(NODES, {"metadata": meta, "spec": {"taints": [TAINT]}})
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "processes of a machine"}
        condition = {**ready, "lastTransitionTime": format_time(self._clock.now())}
        await self._api.patch(f"{NODES}/{self._name}/status", {"status": {"conditions": [condition]}})

    async def _leave(self) -> None:
        pods = list(self._pods.values())
        for _, task in pods:
            task.cancel()
        await asyncio.gather(*(task for _, task in pods), return_exceptions=True)
        try:
            for pod, _ in pods:
                await self._api.delete(pod.path, uid=pod.uid)
            await self._api.delete(f"{NODES}/{self._name}")
        except (ApiError, httpx.TransportError) as error:
            self._log(f"stopped, but the Node and its pods could not be deleted: {error}")

    async def _follow(self) -> None:
        """List the pods, then follow changes until the server ends the watch."""
        selector = f"spec.nodeName={self._name}"
        listed = await self._api.get(PODS, fieldSelector=selector)
        present = {pod["metadata"]["uid"] for pod in listed["items"]}
        for uid in self._pods.keys() - present:
            self._on_deleted(uid)
        for pod in listed["items"]:
            self._on_pod(pod)
        version = listed["metadata"]["resourceVersion"]
        async for kind, pod in self._api.watch(PODS, fieldSelector=selector, resourceVersion=version):
            if kind == "DELETED":
                self._on_deleted(pod["metadata"]["uid"])
            else:
                self._on_pod(pod)

    def _on_pod(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if uid not in self._pods:
            processes = PodProcesses(self._api, pod, next(self._addresses), self._logs, self._clock)
            task = asyncio.ensure_future(processes.run())
            task.add_done_callback(lambda done: self._on_stopped(processes, done))
            self._pods[uid] = processes, task
            name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
            self._log(f"pod {name} has the address {processes.ip} and listens at {loopback_address(processes.ip)}")
        self._pods[uid][0].update(pod)

    def _on_stopped(self, pod: "PodProcesses", task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if error is not None:
            self._log(f"{pod.path}: stopped after an error: {error}")

    def _on_deleted(self, uid: str) -> None:
        if uid in self._pods:
            self._pods.pop(uid)[1].cancel()


class PodProcesses:
    """One pod: the processes of its containers, and its status."""

    def __init__(self, api: ApiClient, pod: Object, ip: str, logs: Path, clock: Clock) -> None:
        meta = pod["metadata"]
        self.path = pod_path(meta["namespace"], meta["name"])
        self.uid: str = meta["uid"]
        self.ip = ip
        self._api = api
        self._pod = pod
        self._logs = logs
        self._clock = clock
        self._changed = asyncio.Event()
        self._deleted = asyncio.Event()

    def update(self, pod: Object) -> None:
        """Update the pod object."""
        self._pod = pod
        if is_terminating(pod):
            self._deleted.set()

    async def run(self) -> None:
        """Run until the pod is deleted; if cancelled, end the processes without a status."""
        work = asyncio.ensure_future(self._work())
        deleted = asyncio.ensure_future(self._deleted.wait())
        try:
            await asyncio.wait({work, deleted}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            work.cancel()
            deleted.cancel()
            await asyncio.gather(work, deleted, return_exceptions=True)
        if not work.cancelled() and (error := work.exception()) is not None:
            raise error
        await self._api.delete(self.path, uid=self.uid)

    async def _work(self) -> None:
        grace = float(self._pod["spec"].get("terminationGracePeriodSeconds", _GRACE))
        containers = [await self._container(spec) for spec in long_running(self._pod["spec"])]
        async with asyncio.TaskGroup() as tasks:
            for container in containers:
                tasks.create_task(container.run(grace))
            tasks.create_task(self._report(containers))

    async def _container(self, spec: Object) -> ProcessContainer:
        log = self._logs / f"{self._pod['metadata']['name']}_{spec['name']}.log"
        variables = await self._environment(spec)
        return ProcessContainer(spec, loopback_address(self.ip), variables, log, self._clock, self._changed.set)

    async def _environment(self, spec: Object) -> Mapping[str, str]:
        """Return a container's environment, once all its Secrets and ConfigMaps exist."""
        meta = self._pod["metadata"]
        fields = {
            "status.podIP": loopback_address(self.ip),
            "metadata.name": meta["name"],
            "metadata.namespace": meta["namespace"],
        }
        of_pod = {
            variable["name"]: fields.get(variable["valueFrom"]["fieldRef"]["fieldPath"], "")
            for variable in spec.get("env") or ()
            if (variable.get("valueFrom") or {}).get("fieldRef")
        }
        while True:
            try:
                sources = await self._sources(spec)
                return environment(sources, meta["namespace"], spec, of_pod)
            except ConfigMissing:
                await asyncio.sleep(_RETRY)

    async def _sources(self, spec: Object) -> "_Sources":
        namespace = self._pod["metadata"]["namespace"]
        sources = _Sources()
        for resource, name in sorted(_references(spec)):
            try:
                sources.objects[resource, name] = await self._api.get(
                    f"/api/v1/namespaces/{namespace}/{resource}/{name}"
                )
            except ApiError as error:
                if error.code != 404:
                    raise
        return sources

    async def _report(self, containers: Sequence[ProcessContainer]) -> None:
        """Write the status whenever it has changed."""
        while True:
            self._changed.clear()
            status = pod_status(
                self._pod,
                containers,
                ips=(self.ip,) if self.ip else (),
                forced_unready=False,
                now=self._clock.now().timestamp(),
                at=lambda seconds: format_time(datetime.fromtimestamp(seconds, UTC)),
            )
            self._pod = await self._api.patch(f"{self.path}/status", {"status": status})
            await self._changed.wait()


@dataclass
class _Sources:
    """Secrets and ConfigMaps that a container's variables come from."""

    objects: dict[tuple[str, str], Object] = field(default_factory=dict)

    def get(self, resource: str, namespace: str, name: str) -> Object:
        if (resource, name) not in self.objects:
            raise ApiError(404, "NotFound", f"{resource} {namespace}/{name} not found")
        return self.objects[resource, name]


def _references(spec: Object) -> set[tuple[str, str]]:
    """Return resource and name of each Secret and ConfigMap in a container's environment."""
    sources = set()
    values = ((item.get("valueFrom") or {}) for item in spec.get("env") or ())
    for source in (*(spec.get("envFrom") or ()), *values):
        for resource, kind in (("secrets", "secret"), ("configmaps", "configMap")):
            reference = source.get(f"{kind}Ref") or source.get(f"{kind}KeyRef")
            if reference:
                sources.add((resource, str(reference["name"])))
    return sources
