"""Fields of a pod's spec that the simulated cluster reads, and those of a manifest that it does not.

A test compares the table with the code: each field is read by the module that is named here, and no module reads
another one.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from twin.apiserver.registry.workloads import CONTAINER_DEFAULTS, POD_DEFAULTS
from twin.scenario.errors import Path
from twin.scenario.manifests.workloads import Workload

Table = Mapping[str, "str | Table"]
"""Module under `twin/world` by field; a table for a field of which only parts are read."""

_SPEC, _PROBES, _SCHEDULER = "kubelet/pod_spec.py", "probes.py", "scheduling/scheduler.py"
_PROBE: Table = {
    "httpGet": {"path": _PROBES, "port": _PROBES, "httpHeaders": _PROBES},
    "tcpSocket": {"port": _PROBES},
    "initialDelaySeconds": _PROBES,
    "periodSeconds": _PROBES,
    "successThreshold": _PROBES,
    "failureThreshold": _PROBES,
}
_GPUS: Table = {"nvidia.com/gpu": _SCHEDULER}
_CONTAINER: Table = {
    "name": _SPEC,
    "image": _SPEC,
    "imagePullPolicy": "kubelet/images.py",
    "command": _SPEC,
    "args": _SPEC,
    "env": _SPEC,
    "envFrom": _SPEC,
    "ports": _SPEC,
    "restartPolicy": _SPEC,
    "resources": {"limits": _GPUS, "requests": _GPUS},
    "lifecycle": {"preStop": "kubelet/lifecycle.py"},
    "startupProbe": _PROBE,
    "readinessProbe": _PROBE,
    "livenessProbe": _PROBE,
}
READ: Table = {
    "containers": _CONTAINER,
    "initContainers": _CONTAINER,
    "restartPolicy": "kubelet/pod_worker.py",
    "terminationGracePeriodSeconds": "kubelet/pod_worker.py",
    "readinessGates": "kubelet/pod_status.py",
    "nodeName": _SCHEDULER,
    "nodeSelector": "scheduling/node_affinity.py",
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": "scheduling/node_affinity.py"}},
    "tolerations": _SCHEDULER,
    "priority": _SCHEDULER,
    "preemptionPolicy": _SCHEDULER,
}
"""The fields that are read."""
_DEFAULTS = {
    **POD_DEFAULTS,
    **CONTAINER_DEFAULTS,
    "securityContext": {},
    "serviceAccount": "default",
    "scheme": "HTTP",
    "timeoutSeconds": 1,
}
_BY_POLICY = ("priorityClassName",)
"""Fields that only the API server reads: the class that gives a pod its priority."""


def unread_fields(workload: Workload) -> Iterator[Path]:
    """Yield the paths in a pod's spec that nothing reads, except values that the API server fills in by itself."""
    yield from _unread(workload.spec, READ, ())


def _unread(value: Any, table: "str | Table", path: Path) -> Iterator[Path]:
    if isinstance(table, str):
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unread(item, table, (*path, index))
        return
    if not isinstance(value, dict):
        return
    for name, item in value.items():
        if name in table:
            yield from _unread(item, table[name], (*path, name))
        elif name not in _BY_POLICY and (name not in _DEFAULTS or _DEFAULTS[name] != item):
            yield (*path, name)


def unread_names(workload: Workload) -> dict[str, Path]:
    """Return the names of the fields that nothing reads, such as `containers.volumeMounts`, with their first path."""
    names: dict[str, Path] = {}
    for path in unread_fields(workload):
        names.setdefault(".".join(step for step in path if isinstance(step, str)), path)
    return names
