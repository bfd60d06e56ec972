"""The operator of the served world: a Deployment whose pods are replicas of it, inside or as processes of their own.

It stands where the document looks for it, `aibrix-system/aibrix-controller-manager`. A pod that runs is a replica that
runs; one that is deleted is a replica that died at that moment. So `kubectl delete pod`, `rollout restart` and `scale`
do with it what they do on a cluster; scaled to 0, it leaves the world to an operator outside.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial

from twin.apiserver import Change, Object, Store
from twin.apiserver.meta.objects import is_terminating, is_true, key
from twin.scenario.sections.cluster import Controller
from twin.serve.operator.process_replica import ProcessReplica
from twin.trace.lines import ControllerLine, Line, LogLine, RequestLine
from twin.world.controller_replica import Replica

NAMESPACE = "aibrix-system"
NAME = "aibrix-controller-manager"
CONTAINER = "manager"
_LABELS = {"app.kubernetes.io/name": "lora-controller", "control-plane": "controller-manager"}
_LEVELS = {"warning": "W", "error": "E", "critical": "E"}

WriteLog = Callable[[str, str, str], None]
"""Takes pod, container and a line."""


class OperatorDeployment:
    """Binds replicas to pods."""

    def __init__(self, store: Store, replicas: list[Replica], write: WriteLog, now: Callable[[], datetime]) -> None:
        self._store = store
        self._free = list(replicas)
        self._by_pod: dict[str, Replica] = {}
        self._waiting: dict[str, None] = {}
        """Pods that are ready before an older one has made room: during a rollout there is one more than replicas."""
        self._write = write
        self._now = now
        for replica in replicas:
            if isinstance(replica, ProcessReplica):
                replica.on_log = partial(self._wrote, replica)

    def deploy(self, asked: Controller) -> None:
        """Creates the Deployment and follows its pods."""
        self._store.ensure_namespace(NAMESPACE)
        self._store.create("deployments.apps", _deployment(asked), namespace=NAMESPACE, manager="kubectl")
        self._store.subscribe(self._pod_changed, "pods")

    def recorded(self, line: Line) -> None:
        """Its log: what the record says of this replica, in words that the document's users know."""
        if not isinstance(line, (ControllerLine, LogLine, RequestLine)):
            return
        pod, replica = next((each for each in self._by_pod.items() if each[1].name == line.by), ("", None))
        if replica is not None and not isinstance(replica, ProcessReplica) and (said := _said(line)):
            level, text = said
            moment = self._now()
            self._write(pod, CONTAINER, f"{level}{moment:%m%d %H:%M:%S.%f} 1 lora_controller] {text}")

    def _wrote(self, replica: ProcessReplica, text: str) -> None:
        """What a process has written itself."""
        pod = next((pod for pod, each in self._by_pod.items() if each is replica), None)
        if pod is not None:
            self._write(pod, CONTAINER, text)

    def _pod_changed(self, change: Change) -> None:
        pod = change.object
        if pod["metadata"].get("namespace") != NAMESPACE:
            return
        name = key(pod)
        if change.type == "DELETED" or is_terminating(pod):
            self._waiting.pop(name, None)
            if name in self._by_pod:
                replica = self._by_pod.pop(name)
                self._free.append(replica)
                replica.crash()
        elif is_true(pod, "Ready") and name not in self._by_pod:
            self._waiting[name] = None
        while self._waiting and self._free:
            name = next(iter(self._waiting))
            del self._waiting[name]
            self._by_pod[name] = replica = self._free.pop(0)
            asyncio.get_running_loop().call_soon(replica.start)


def _said(line: ControllerLine | LogLine | RequestLine) -> tuple[str, str] | None:
    """Level and text of a line of the log; None if it says nothing."""
    if isinstance(line, ControllerLine):
        return "I", f'"{line.event}" replica="{line.by}"'
    if isinstance(line, LogLine):
        return _LEVELS.get(line.level, "I"), line.text
    where = f'pod="{line.object.split("/")[-1]}" ModelAdapter="{line.object.split("/")[0]}/{line.adapter}"'
    if line.event == "sent":
        return "I", f'"Sending {line.verb} request" {where}'
    if line.status == 200:
        return "I", f'"Successfully {line.verb}ed adapter on pod" {where}'
    return "E", f'"Error {line.verb}ing adapter" {where} status={line.status} error="{line.error}"'


_SAME = ("policy", "workers", "loads_per_pod")
_TIMES = ("stable_for", "unready_grace", "aside_for", "audit_interval", "list_timeout", "load_timeout")


def _flags(asked: Controller) -> list[str]:
    """What `lora-controller` would have to be told to have these settings; defaults are left out, as people do."""
    default, sidecar = Controller(), "" if asked.enable_runtime_sidecar else "=false"
    said = {name: f"{getattr(asked, name)}" for name in _SAME if getattr(asked, name) != getattr(default, name)}
    said |= {name: f"{getattr(asked, name):g}s" for name in _TIMES if getattr(asked, name) != getattr(default, name)}
    for name in type(asked.retry).model_fields:
        value = getattr(asked.retry, name)
        if value != getattr(default.retry, name):
            said[f"retry_{name}"] = f"{value:g}s" if name in ("base", "cap") else f"{value:g}"
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in said.items()]
    return ["--leader-elect", "--health-probe-bind-address=:8081", f"--enable-runtime-sidecar{sidecar}", *flags]


def _deployment(asked: Controller) -> Object:
    container = {
        "name": CONTAINER,
        "image": "lora-twin/lora-controller:served",
        "command": ["lora-controller"],
        "args": _flags(asked),
    }
    template = {
        "metadata": {"labels": _LABELS},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 10},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": _LABELS},
        "spec": {"replicas": asked.replicas, "selector": {"matchLabels": _LABELS}, "template": template},
    }
