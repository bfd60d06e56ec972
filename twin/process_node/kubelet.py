"""The kubelet of a node whose containers are processes of this machine.

It makes the Node (tainted, so that no pod gets there unasked), follows the pods that are bound to it, and gives each an
address: 10.x.y.z to the cluster, 127.x.y.z on this machine (`twin.served.foreign`). Containers find the latter as
`status.podIP`, by the downward API, and listen there. When it ends, so do its processes; its pods and the Node are
deleted.
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
from twin.process_node.container import ProcessContainer, expand_variables
from twin.serve.network.engine_sockets import loopback_address
from twin.world.kubelet.pod_spec import ConfigMissing, environment
from twin.world.kubelet.pod_status import pod_status

TAINT = {"key": "lora-twin/processes", "value": "true", "effect": "NoSchedule"}
_GRACE = 30.0  # seconds; Kubernetes docs, terminationGracePeriodSeconds
_AGAIN = 1.0  # seconds until a pod whose Secret is missing is looked at again

Told = Callable[[str], None]
"""Takes a line for whoever started the node."""


class NodeKubelet:
    """One node."""

    def __init__(
        self, api: ApiClient, name: str, first_address: IPv4Address, logs: Path, clock: Clock, tell: Told
    ) -> None:
        self._api = api
        self._name = name
        self._addresses = (str(first_address + number) for number in count())
        self._logs = logs
        self._clock = clock
        self._tell = tell
        self._pods: dict[str, tuple[PodProcesses, asyncio.Task[None]]] = {}
        """By uid."""

    async def run(self) -> None:
        """From joining to leaving.

        Raises:
            ApiError: the server refuses.
            httpx.TransportError: it does not answer, or not any more.
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
            self._tell(f"left, but the API server was not told: {error}")

    async def _follow(self) -> None:
        """What is there, then what changes, until the server ends the watch."""
        mine = f"spec.nodeName={self._name}"
        listed = await self._api.get(PODS, fieldSelector=mine)
        present = {pod["metadata"]["uid"] for pod in listed["items"]}
        for uid in self._pods.keys() - present:
            self._gone(uid)
        for pod in listed["items"]:
            self._seen(pod)
        version = listed["metadata"]["resourceVersion"]
        async for kind, pod in self._api.watch(PODS, fieldSelector=mine, resourceVersion=version):
            if kind == "DELETED":
                self._gone(pod["metadata"]["uid"])
            else:
                self._seen(pod)

    def _seen(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if uid not in self._pods:
            known = PodProcesses(self._api, pod, next(self._addresses), self._logs, self._clock)
            task = asyncio.ensure_future(known.run())
            task.add_done_callback(lambda done: self._ended(known, done))
            self._pods[uid] = known, task
            name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
            self._tell(f"pod {name} is {known.ip}, and listens at {loopback_address(known.ip)}")
        self._pods[uid][0].seen(pod)

    def _ended(self, pod: "PodProcesses", task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if error is not None:
            self._tell(f"{pod.path}: given up: {error}")

    def _gone(self, uid: str) -> None:
        if uid in self._pods:
            self._pods.pop(uid)[1].cancel()


class PodProcesses:
    """One pod: its containers' processes and its status."""

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

    def seen(self, pod: Object) -> None:
        """What the API shows of it now."""
        self._pod = pod
        if is_terminating(pod):
            self._deleted.set()

    async def run(self) -> None:
        """Until it is deleted; cancelled, it ends its processes and says nothing."""
        working = asyncio.ensure_future(self._work())
        deleted = asyncio.ensure_future(self._deleted.wait())
        try:
            await asyncio.wait({working, deleted}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            working.cancel()
            deleted.cancel()
            await asyncio.gather(working, deleted, return_exceptions=True)
        if not working.cancelled() and (error := working.exception()) is not None:
            raise error
        await self._api.delete(self.path, uid=self.uid)

    async def _work(self) -> None:
        grace = float(self._pod["spec"].get("terminationGracePeriodSeconds", _GRACE))
        containers = [await self._container(spec) for spec in self._pod["spec"]["containers"]]
        async with asyncio.TaskGroup() as tasks:
            for container in containers:
                tasks.create_task(container.run(grace))
            tasks.create_task(self._report(containers))

    async def _container(self, spec: Object) -> ProcessContainer:
        log = self._logs / f"{self._pod['metadata']['name']}_{spec['name']}.log"
        variables = await self._environment(spec)
        return ProcessContainer(spec, loopback_address(self.ip), variables, log, self._clock, self._changed.set)

    async def _environment(self, spec: Object) -> Mapping[str, str]:
        """The container's variables, as soon as the Secrets and ConfigMaps that they come from are there."""
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
                found = await self._sources(spec)
                plain = environment(found, meta["namespace"], spec)
            except ConfigMissing:
                await asyncio.sleep(_AGAIN)
            else:
                given = {**plain, **of_pod}
                return {name: expand_variables(value, given) for name, value in given.items()}

    async def _sources(self, spec: Object) -> "_Sources":
        namespace = self._pod["metadata"]["namespace"]
        found = _Sources()
        for resource, name in sorted(_references(spec)):
            try:
                found.objects[resource, name] = await self._api.get(f"/api/v1/namespaces/{namespace}/{resource}/{name}")
            except ApiError as error:
                if error.code != 404:
                    raise
        return found

    async def _report(self, containers: Sequence[ProcessContainer]) -> None:
        """Writes the status each time that it is another."""
        while True:
            self._changed.clear()
            status = pod_status(
                self._pod,
                containers,
                ip=self.ip,
                forced_unready=False,
                now=self._clock.now().timestamp(),
                at=lambda moment: format_time(datetime.fromtimestamp(moment, UTC)),
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
    """Resource and name of each Secret and ConfigMap that a container's environment names."""
    found = set()
    for source in (*(spec.get("envFrom") or ()), *((each.get("valueFrom") or {}) for each in spec.get("env") or ())):
        for resource, kind in (("secrets", "secret"), ("configmaps", "configMap")):
            reference = source.get(f"{kind}Ref") or source.get(f"{kind}KeyRef")
            if reference:
                found.add((resource, str(reference["name"])))
    return found
