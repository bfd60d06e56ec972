"""The kubelets of the world's nodes: pods bound to one that is up get a life (`podrun.py`).

Nodes that others have made are theirs (`twin.node`).

Follows the store's pods. Statuses are written when something in them has changed, at the moment at which it
did: a kubelet's own reporting delay is small against a probe's period and left out.
"""

from collections.abc import Callable, Collection
from datetime import datetime
from ipaddress import IPv4Address
from itertools import count

import simpy

from fake_vllm.distributions import Latency, Uniform
from twin.apiserver import Change, Store
from twin.apiserver.meta.objects import Object, is_finished, is_terminating, key, split
from twin.kernel.random_streams import Streams
from twin.world.kubelet.pod_worker import Node, PodWorker
from twin.world.network.engine_host import EngineHost
from twin.world.work import DelayedQueue

DELAY = Uniform(0.010, 0.050)  # seconds until a kubelet has seen a change: its watch, and its worker's turn


class Kubelet:
    """All nodes' kubelets in one; `hosts` is by IP address.

    Pods' addresses are handed out from the first one on, one by one and never again.
    """

    def __init__(
        self,
        env: simpy.Environment,
        store: Store,
        streams: Streams,
        now: Callable[[float], datetime],
        pod_start: Latency,
        new_host: Callable[[Object], EngineHost],
        first_address: IPv4Address,
        nodes: Collection[str],
    ) -> None:
        self.hosts: dict[str, EngineHost] = {}
        self.runs: dict[str, PodWorker] = {}
        self._waiting: dict[str, Object] = {}  # bound, not yet admitted
        self._dark: set[str] = set()
        self._nodes = nodes
        self._new_host = new_host
        addresses = count()
        self._node = Node(env, streams, store, pod_start, self.hosts, lambda: str(first_address + next(addresses)), now)
        self._admissions = DelayedQueue(env, streams, "kubelet", DELAY, self._admit)
        self._retries = DelayedQueue(env, streams, "kubelet-config", DELAY, self._retry_config)
        store.subscribe(self._on_pod, "pods")
        store.subscribe(self._on_config, "secrets")
        store.subscribe(self._on_config, "configmaps")

    def power_off(self, node: str) -> None:
        """The node loses power."""
        self._dark.add(node)
        for run in self._on(node):
            run.power_off()

    def power_on(self, node: str) -> None:
        """The node boots: its pods start again, those that wait for it are admitted."""
        self._dark.discard(node)
        for run in self._on(node):
            run.power_on()
        for name in list(self._waiting):
            self._admissions.note(name)

    def _on(self, node: str) -> list[PodWorker]:
        return [run for run in self.runs.values() if run.node_name == node]

    def _on_pod(self, change: Change) -> None:
        pod, name = change.object, key(change.object)
        run = self.runs.get(name)
        if change.type == "DELETED":
            self._waiting.pop(name, None)
            if run is not None:
                del self.runs[name]
                run.delete_now()
        elif run is not None:
            run.pod = pod
            if is_terminating(pod) and not run.terminating:
                run.terminate()
        elif pod["spec"].get("nodeName") in self._nodes and not is_finished(pod):
            self._waiting[name] = pod
            self._admissions.note(name)

    def _admit(self, name: str) -> None:
        pod = self._waiting.get(name)
        if pod is None or pod["spec"]["nodeName"] in self._dark:
            return
        del self._waiting[name]
        run = PodWorker(self._node, pod, self._new_host(pod))
        self.runs[name] = run
        if is_terminating(pod):
            run.terminate()
        else:
            run.begin()

    def _on_config(self, change: Change) -> None:
        if change.type != "DELETED":
            self._retries.note(change.object["metadata"]["namespace"])

    def _retry_config(self, namespace: str) -> None:
        for run in list(self.runs.values()):
            if split(run.key)[0] == namespace:
                run.retry_config()
