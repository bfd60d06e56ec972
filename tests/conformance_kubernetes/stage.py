"""One story in a cluster: what its user does, what its kubelet reports, and what is recorded of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tests.conformance_kubernetes.api import CLUSTER_KINDS, Answer, Api, Object
from tests.conformance_kubernetes.clusters import Cluster, ready
from tests.conformance_kubernetes.masking import Masks, State

_POLL = 0.25  # seconds
_BINDING_POLLS = 12
_LONGEST = 40.0  # seconds until a cluster has to be quiet


@dataclass(frozen=True, slots=True)
class Step:
    """State of the cluster after what was done.

    Attributes:
        title: what was done.
        refusals: answers to requests that were refused, in order.
        state: the objects.
    """

    title: str
    refusals: Sequence[Object]
    state: State


@dataclass(frozen=True, slots=True)
class Story:
    """A sequence of actions.

    Attributes:
        name: name, which is also that of its namespace.
        kinds: kinds that are recorded.
        play: plays it on a stage.
        quiet: seconds without a change after which controllers have finished.
        alone: True if it has nodes of its own, so that no other story may be played at the same time.
        metrics: True if it sets metrics.
    """

    name: str
    kinds: tuple[str, ...]
    play: Callable[["Stage"], Awaitable[None]]
    quiet: float = 1.5
    alone: bool = False
    metrics: bool = False


@dataclass(eq=False)
class Stage:
    """The story's view of a cluster."""

    cluster: Cluster
    story: Story
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.api = Api(self.cluster.http, self.story.name)
        self.kubelet = PlayedKubelet(self)
        self._masks = Masks()
        self._refusals: list[Object] = []

    # -- actions of a user

    async def create(self, *manifests: Object) -> None:
        for manifest in manifests:
            self.note(await self.api.create(manifest))

    async def patch(self, kind: str, name: str, body: Object, subresource: str = "") -> None:
        self.note(await self.api.patch(kind, name, body, subresource))

    async def scale(self, kind: str, name: str, replicas: int) -> None:
        await self.patch(kind, name, {"spec": {"replicas": replicas}})

    async def delete(self, kind: str, name: str, **options: Any) -> None:
        self.note(await self.api.delete(kind, name, **options))

    async def evict(self, pod: str) -> None:
        self.note(await self.api.evict(pod))

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def step(self, title: str) -> None:
        """Wait until the controllers have finished, and record the state."""
        await self._quiet()
        objects = [item for kind in self.story.kinds for item in await self._objects(kind)]
        state = self._masks.state(objects)
        refusals = [
            {**refusal, "message": self._masks.text(refusal["message"])} if "message" in refusal else refusal
            for refusal in self._refusals
        ]
        self._refusals = []
        self.steps.append(Step(title, refusals, state))

    async def report_node(self, name: str, status: str) -> None:
        """Report a node as its kubelet does: ready (`True`) or not (`False`)."""
        condition = ready(self.cluster.now(), status)
        await self.patch("Node", name, {"status": {"conditions": [condition]}}, "status")

    async def measure(self, metric: str, value: float, pods: int = 1000) -> None:
        """Set a metric of the first running pods, oldest first; it has no value for the others."""
        running = [pod for pod in await self.kubelet.pods() if (pod.get("status") or {}).get("phase") == "Running"]
        values = {pod["metadata"]["name"]: round(value * 1000) for pod in running[:pods]}
        self.cluster.metrics.pods[self.story.name, metric] = values

    async def autoscaled(self, title: str) -> None:
        """Wait until an autoscaler has read metrics, and record the state."""
        reads = self.cluster.metrics.reads
        before = reads[self.story.name]
        for _ in range(int(_LONGEST / _POLL)):
            if reads[self.story.name] > before:
                break
            await asyncio.sleep(_POLL)
        await self.step(title)

    def note(self, answer: Answer) -> None:
        """Record the answer with the next step if it is a refusal."""
        if answer.refusal is not None:
            self._refusals.append(answer.refusal)

    async def _quiet(self) -> None:
        version, since = "", 0.0
        for _ in range(int(_LONGEST / _POLL)):
            current = await self.cluster.version(self.api, self.story.kinds)
            since = since + _POLL if current == version else 0.0
            if since >= self.story.quiet:
                return
            version = current
            await asyncio.sleep(_POLL)
        raise TimeoutError(f"{self.story.name}: the cluster was not quiet within {_LONGEST:g} s")

    async def _objects(self, kind: str) -> list[Object]:
        """Return the story's objects of a kind: those of its namespace, its namespace, or its nodes."""
        objects = await self.api.list(kind)
        if kind not in CLUSTER_KINDS:
            return objects
        names = (self.story.name, f"{self.story.name}-")
        return [item for item in objects if item["metadata"]["name"].startswith(names)]


class PlayedKubelet:
    """Reports what a kubelet would, when a story says so."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._addresses = count(1)

    async def pods(self, **labels: str) -> list[Object]:
        """Return the pods with these labels (`_` stands for `-`), oldest first."""
        items = await self._stage.api.list("Pod")
        expected = {name.replace("_", "-"): value for name, value in labels.items()}
        found = [item for item in items if expected.items() <= (item["metadata"].get("labels") or {}).items()]
        return sorted(found, key=lambda item: (item["metadata"]["creationTimestamp"], item["metadata"]["name"]))

    async def name_of(self, index: int) -> str:
        """Return the name of the pod with this index, oldest first; `no-such-pod` if there are fewer."""
        pods = await self.pods()
        return pods[index]["metadata"]["name"] if index < len(pods) else "no-such-pod"

    async def run(self, limit: int = 1000, *, ready: bool = True, **labels: str) -> None:
        """Report pods that are bound and pending as running, at most `limit` of them, oldest first."""
        waiting = [
            pod
            for pod in await self._bound_pods(**labels)
            if pod["spec"].get("nodeName")
            and "deletionTimestamp" not in pod["metadata"]
            and (pod.get("status") or {}).get("phase") == "Pending"
        ]
        for pod in waiting[:limit]:
            await self.report(pod, ready=ready)

    async def _bound_pods(self, **labels: str) -> list[Object]:
        """Return the pods, after the scheduler had the time to bind them."""
        for _ in range(_BINDING_POLLS):
            pods = await self.pods(**labels)
            if all(pod["spec"].get("nodeName") for pod in pods):
                break
            await asyncio.sleep(_POLL)
        return pods

    async def report(self, pod: Object, *, ready: bool, phase: str = "Running") -> None:
        """Write the status of a pod; a running pod without an address gets the next one."""
        old = pod.get("status") or {}
        address = old.get("podIP") or f"10.200.0.{next(self._addresses)}"
        now = self._stage.cluster.now()
        flags = {"Ready": ready, "ContainersReady": ready, "Initialized": True, "PodReadyToStartContainers": True}
        before = {item["type"]: item for item in old.get("conditions") or ()}
        conditions = [
            {"type": name, "status": "True" if flag else "False", "lastTransitionTime": _since(before, name, flag, now)}
            for name, flag in flags.items()
        ]
        status = {
            "phase": phase,
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": conditions,
            "containerStatuses": [_container(pod, phase, ready=ready, now=now)],
            "startTime": old.get("startTime") or now,
        }
        await self._stage.api.patch("Pod", pod["metadata"]["name"], {"status": status}, "status")

    async def set_ready(self, ready: bool, limit: int = 1000, **labels: str) -> None:
        """Report running pods as ready or not, at most `limit` of them, oldest first."""
        running = [pod for pod in await self.pods(**labels) if (pod.get("status") or {}).get("phase") == "Running"]
        for pod in [item for item in running if _is_ready(item) != ready][:limit]:
            await self.report(pod, ready=ready)

    async def finish(self, phase: str, limit: int = 1000, **labels: str) -> None:
        """Report running pods as `Succeeded` or `Failed`, at most `limit` of them, oldest first."""
        running = [pod for pod in await self.pods(**labels) if (pod.get("status") or {}).get("phase") == "Running"]
        for pod in running[:limit]:
            await self.report(pod, ready=False, phase=phase)

    async def end_deleted(self, limit: int = 1000, **labels: str) -> None:
        """Remove terminating pods, as a kubelet does when their containers have ended."""
        terminating = [pod for pod in await self.pods(**labels) if "deletionTimestamp" in pod["metadata"]]
        for pod in terminating[:limit]:
            options = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
            await self._stage.api.delete("Pod", pod["metadata"]["name"], **options)


def _since(before: dict[str, Object], name: str, flag: bool, now: str) -> str:
    old = before.get(name)
    if old is None or old["status"] != ("True" if flag else "False"):
        return now
    return str(old.get("lastTransitionTime") or now)


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def _container(pod: Object, phase: str, *, ready: bool, now: str) -> Object:
    spec = pod["spec"]["containers"][0]
    code = 1 if phase == "Failed" else 0
    ended = {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed", "finishedAt": now}}
    state = {"running": {"startedAt": now}} if phase == "Running" else ended
    return {
        "name": spec["name"],
        "image": spec["image"],
        "imageID": spec["image"],
        "containerID": "containerd://1",
        "ready": ready,
        "started": phase == "Running",
        "restartCount": 0,
        "state": state,
    }
