"""Validation of manifests by the simulated API server itself, so that `twin check` and a run agree."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from controller.api.types import KINDS
from twin.apiserver import ApiError, Store
from twin.apiserver.codec.field_validation import split_unknown_fields
from twin.apiserver.codec.known_fields import UnknownField
from twin.apiserver.registry.groups.leader_worker_rules import leader_worker_set_errors
from twin.scenario.errors import Path, Problem, choices, closest
from twin.scenario.manifests.autoscaler_notes import AUTOSCALER
from twin.scenario.manifests.not_simulated import reason_ignored
from twin.scenario.manifests.pod_templates import pod_templates
from twin.scenario.manifests.reader import Entry
from twin.world.groups.definitions import api_version, definitions_for, group_definitions

_ADAPTER = next(kind for kind in KINDS if kind.kind == "ModelAdapter")
ACCEPTED: dict[str, tuple[str, str]] = {
    "Deployment": ("apps/v1", "deployments.apps"),
    "ReplicaSet": ("apps/v1", "replicasets.apps"),
    "StatefulSet": ("apps/v1", "statefulsets.apps"),
    "DaemonSet": ("apps/v1", "daemonsets.apps"),
    "Job": ("batch/v1", "jobs.batch"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets.policy"),
    "Pod": ("v1", "pods"),
    "Service": ("v1", "services"),
    "Secret": ("v1", "secrets"),
    "ConfigMap": ("v1", "configmaps"),
    "Namespace": ("v1", "namespaces"),
    "ServiceAccount": ("v1", "serviceaccounts"),
    "ResourceQuota": ("v1", "resourcequotas"),
    "LimitRange": ("v1", "limitranges"),
    "PriorityClass": ("scheduling.k8s.io/v1", "priorityclasses.scheduling.k8s.io"),
    AUTOSCALER: ("autoscaling/v2", "horizontalpodautoscalers.autoscaling"),
    "PersistentVolumeClaim": ("v1", "persistentvolumeclaims"),
    "ModelAdapter": (_ADAPTER.api_version, f"{_ADAPTER.plural}.{_ADAPTER.group}"),
    **{kind: (api_version(item), item["metadata"]["name"]) for kind, item in group_definitions().items()},
}
"""Kinds that the simulated cluster supports: apiVersion, and resource in the store."""
WEBHOOKS: dict[str, str] = {
    "MutatingWebhookConfiguration": "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "ValidatingWebhookConfiguration": "validatingwebhookconfigurations.admissionregistration.k8s.io",
}
"""Kinds that the served API supports, and that a run ignores: resource in the store."""


@cache
def definition() -> dict[str, Any]:
    """Return the CustomResourceDefinition of ModelAdapter that the operator ships.

    `crd.json` is `controller/deploy/crd.yaml` as JSON (`make docs`), which is read a hundred times faster.
    """
    loaded: dict[str, Any] = msgspec.json.decode((files("twin.scenario.manifests") / "crd.json").read_bytes())
    return loaded


class Admission:
    """Empty API server for dry runs."""

    def __init__(self, namespaces: Iterable[str], kinds: Iterable[str] = ()) -> None:
        """Create a server with namespaces and with the definitions of custom `kinds`."""
        self._store = Store(now=lambda: datetime(2026, 1, 1, tzinfo=UTC), suffix=lambda: "xxxxx")
        for item in (definition(), *definitions_for(set(kinds))):
            self._store.register_crd(item)
        self._namespaces: set[str] = set()
        for name in dict.fromkeys(namespaces):
            try:
                self._store.ensure_namespace(name)
            except ApiError:
                continue  # invalid name: the objects in it get an error
            self._namespaces.add(name)

    def refusals(self, obj: dict[str, Any]) -> list[tuple[Path, str]]:
        """Return the errors of the server for an object: field path and message.

        A LeaderWorkerSet is checked as its webhook does. The pods of a group are checked as well: their operator would
        create pods that the server refuses.
        """
        refused = self._refused(obj)
        if refused or obj["kind"] not in group_definitions():
            return refused
        if obj["kind"] == "LeaderWorkerSet":
            refused += [(field_path(e.field, obj), f"its webhook: {e.body}") for e in leader_worker_set_errors(obj)]
        for pod, at in _pods_of(obj):
            refused += [((*at, *path[1:]), message) for path, message in self._refused(pod)]
        return refused

    def _refused(self, obj: dict[str, Any]) -> list[tuple[Path, str]]:
        resource = WEBHOOKS.get(obj["kind"]) or ACCEPTED[obj["kind"]][1]
        namespace = obj["metadata"].get("namespace", "")
        if obj["kind"] == "Pod":  # its PriorityClass is another object of the manifests, or a stand-in
            obj = {**obj, "spec": {k: v for k, v in (obj.get("spec") or {}).items() if k != "priorityClassName"}}
        try:
            if obj["kind"] == "Namespace" and obj["metadata"]["name"] in self._namespaces:
                self._store.update(resource, obj, dry_run=True)
            else:
                self._store.create(resource, obj, namespace=namespace, dry_run=True)
        except ApiError as error:
            causes = (error.status.get("details") or {}).get("causes") or []
            errors = [(field_path(str(c.get("field", "")), obj), _message(c)) for c in causes]
            return errors or [((), f"the API server rejects it: {error.message}")]
        return []

    def unknown_fields(self, obj: dict[str, Any]) -> list[UnknownField]:
        """Return the fields that the object's kind does not have; the server drops them."""
        _, resource = ACCEPTED[obj["kind"]]
        if obj["kind"] not in group_definitions():
            return split_unknown_fields(self._store.kinds[resource], obj)[1]
        unknown = []
        for pod, at in _pods_of(obj):
            fields = split_unknown_fields(self._store.kinds["pods"], pod)[1]
            unknown += [replace(field, path=(*at, *field.path[1:])) for field in fields if field.path[0] == "spec"]
        return unknown


def _pods_of(obj: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Path]]:
    """Yield a pod of each template of a group, and the path of its spec."""
    for template in pod_templates(obj):
        meta = {"name": "pod", "namespace": obj["metadata"].get("namespace", "default")}
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template.spec}, template.at


def kind_error(entry: Entry) -> Problem | str | None:
    """Return an error if kind or apiVersion is misspelled, a note if the kind is not simulated, else None."""
    if entry.kind in ACCEPTED:
        supported, version = ACCEPTED[entry.kind][0], entry.object["apiVersion"]
        if version == supported:
            return None
        if (entry.kind, version) == (AUTOSCALER, "autoscaling/v1"):
            return (
                f"{entry.title}: ignored: it scales by CPU, which the twin does not measure; replicas stay as they are"
            )
        hint = f'did you mean "{supported}"? ' if closest(version, [supported]) else ""
        return entry.problem(("apiVersion",), f'"{version}" has no kind {entry.kind}', f"{hint}allowed: {supported}")
    if closest(entry.kind, ACCEPTED) and "." not in entry.object["apiVersion"].split("/")[0].replace(
        _ADAPTER.group, ""
    ):
        return entry.problem(("kind",), f'unknown kind "{entry.kind}"', choices(entry.kind, ACCEPTED))
    return f"{entry.title}: ignored: {reason_ignored(entry.object['apiVersion'], entry.kind, entry.name)}"


def field_path(field: str, obj: Any) -> Path:
    """Return the path of a field in a Kubernetes error, such as `spec.rules[0].host`."""
    path: list[str | int] = []
    steps = [key or index for key, index in re.findall(r"([^.\[\]]+)|\[([^\]]*)\]", field)]
    while steps:
        if isinstance(obj, list) and steps[0].isdecimal() and int(steps[0]) < len(obj):
            path.append(int(steps[0]))
            obj = obj[int(steps.pop(0))]
            continue
        length = next((n for n in range(len(steps), 0, -1) if isinstance(obj, dict) and ".".join(steps[:n]) in obj), 0)
        if not length:
            return (*path, *steps)
        path.append(".".join(steps[:length]))
        obj, steps = obj[path[-1]], steps[length:]
    return tuple(path)


def _message(cause: dict[str, Any]) -> str:
    message = str(cause.get("message", "is rejected"))
    return message[:1].lower() + message[1:]
