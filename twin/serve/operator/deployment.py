"""The operator of a served world: a Deployment whose pods are its replicas.

It is where the document expects it, `aibrix-system/aibrix-controller-manager`. A running pod is a running replica, in
this process or a separate one; a deleted pod is a replica that crashed at that time. `kubectl delete pod`, `rollout
restart` and `scale` therefore work as on a cluster; scaled to 0, it leaves the world to an operator outside.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

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
"""Writes a line to a log; arguments are pod, container and line."""


class OperatorDeployment:
    """Assigns replicas to pods."""

    def __init__(self, store: Store, replicas: list[Replica], write: WriteLog, now: Callable[[], datetime]) -> None:
        self._store = store
        self._free = list(replicas)
        self._by_pod: dict[str, Replica] = {}
        self._waiting: dict[str, None] = {}
        """Ready pods without a replica: during a rollout there is one pod more than replicas."""
        self._write = write
        self._now = now

    def create(self, settings: Controller) -> None:
        """Create the Deployment and follow its pods."""
        self._store.ensure_namespace(NAMESPACE)
        self._store.create("deployments.apps", _deployment(settings), namespace=NAMESPACE, manager="kubectl")
        self._store.subscribe(self._pod_changed, "pods")

    def on_line(self, line: Line) -> None:
        """Write the log of a replica in this process: what the record has of it, in the format of Go controllers."""
        if not isinstance(line, (ControllerLine, LogLine, RequestLine)):
            return
        pod, replica = next((item for item in self._by_pod.items() if item[1].name == line.by), ("", None))
        if replica is not None and not isinstance(replica, ProcessReplica) and (level_and_text := _log_line(line)):
            level, text = level_and_text
            timestamp = self._now()
            self._write(pod, CONTAINER, f"{level}{timestamp:%m%d %H:%M:%S.%f} 1 lora_controller] {text}")

    def write_log(self, replica: str, text: str) -> None:
        """Append a line that a replica's process has written to its pod's log."""
        pod = next((pod for pod, item in self._by_pod.items() if item.name == replica), None)
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


def _log_line(line: ControllerLine | LogLine | RequestLine) -> tuple[str, str] | None:
    """Return level and text of a log line; None if the line is not logged."""
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


_NUMBERS = ("policy", "max_concurrent_reconciles", "max_requests_per_pod")
_DURATIONS = ("stable_for", "unready_grace", "pod_cooldown", "audit_interval", "list_timeout", "load_timeout")


def _flags(settings: Controller) -> list[str]:
    """Return the flags of `lora-controller` for these settings; defaults are left out."""
    default, sidecar = Controller(), "" if settings.enable_runtime_sidecar else "=false"
    values: dict[str, str] = {}
    for name in (*_NUMBERS, *_DURATIONS):
        value = getattr(settings, name)
        if value != getattr(default, name):
            values[name] = f"{value:g}s" if name in _DURATIONS else f"{value}"
    for name in type(settings.retry).model_fields:
        value = getattr(settings.retry, name)
        if value != getattr(default.retry, name):
            key = name if name == "retries" else f"retry_{name}"
            values[key] = value if name == "switch" else f"{value:g}{'s' if name in ('base', 'cap') else ''}"
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]
    return ["--leader-elect", "--health-probe-bind-address=:8081", f"--enable-runtime-sidecar{sidecar}", *flags]


def _deployment(settings: Controller) -> Object:
    container = {
        "name": CONTAINER,
        "image": "lora-twin/lora-controller:served",
        "command": ["lora-controller"],
        "args": _flags(settings),
    }
    template = {
        "metadata": {"labels": _LABELS},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 10},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": _LABELS},
        "spec": {"replicas": settings.replicas, "selector": {"matchLabels": _LABELS}, "template": template},
    }
