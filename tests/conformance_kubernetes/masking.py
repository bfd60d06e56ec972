"""Parts of an object that are kept, and names in place of what is random in it.

Kept is what controllers decide: owners, labels, finalizers, sizes, status. Left out are times, versions, and fields
that only the API server sets, which `tests/contract` holds to a real server. Suffixes of names, hashes of templates and
uids are replaced; objects that differ in nothing else are counted.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tests.conformance_kubernetes.api import Object

_META = ("labels", "annotations", "finalizers", "generation")
_HASH_LABELS = ("pod-template-hash", "controller-revision-hash")
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "Pod": (
        "spec.nodeName",
        "spec.hostname",
        "spec.subdomain",
        "spec.priority",
        "spec.tolerations",
        "spec.resources",
        "status.phase",
        "status.reason",
        "status.message",
    ),
    "Deployment": ("spec.replicas", "spec.paused"),
    "ReplicaSet": ("spec.replicas",),
    "StatefulSet": ("spec.replicas",),
    "DaemonSet": (),
    "Job": ("spec.parallelism", "spec.completions", "spec.suspend"),
    "Gang": ("spec.replicas",),
    "Node": ("spec.taints", "spec.unschedulable"),
    "EndpointSlice": ("addressType", "endpoints", "ports"),
    "Service": ("spec.ipFamilies", "spec.ipFamilyPolicy"),
    "Lease": ("spec.holderIdentity", "spec.leaseTransitions"),
}
_WHOLE_STATUS = (
    "Deployment",
    "ReplicaSet",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "PodDisruptionBudget",
    "Namespace",
    "ResourceQuota",
    "HorizontalPodAutoscaler",
)
_NAME_OF_REFUSED_POD = re.compile(r'(pods \\?"[^"]+-)[bcdfghjklmnpqrstvwxz2456789]{5}(?=\\?" is forbidden)')
_AUTOSCALERS = re.compile(r"(controlled by multiple HPAs: \[)([^\]]*)")  # in the order of a map
_TIMES = (
    "lastTransitionTime",
    "lastUpdateTime",
    "lastProbeTime",
    "lastHeartbeatTime",
    "startTime",
    "completionTime",
    "timeAdded",
    "disruptedPods",
    "lastScaleTime",
    "endpoints.kubernetes.io/last-change-trigger-time",
)

State = dict[str, list[Object]]
"""Objects by kind and masked name; equal ones once, with a count."""


class Masks:
    """Replacements of one story: what is random gets a name when it is first seen."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._hashes: dict[str, None] = {}

    def state(self, objects: Iterable[Object]) -> State:
        """Return what matters of the objects."""
        listed = sorted(objects, key=lambda item: (item["metadata"]["creationTimestamp"], item["metadata"]["name"]))
        for item in listed:
            self._learn(item)
        masked: dict[str, dict[str, int]] = {}
        for item in listed:
            name = f"{item['kind']} {self.text(item['metadata']['name'])}"
            body = self.text(json.dumps(_kept(item), sort_keys=True))
            counts = masked.setdefault(name, {})
            counts[body] = counts.get(body, 0) + 1
        return {
            name: [_counted(body, count) for body, count in sorted(masked[name].items())] for name in sorted(masked)
        }

    def text(self, text: str) -> str:
        """Return a text with names in place of what is random."""
        for random in sorted(self._texts, key=len, reverse=True):
            text = text.replace(random, self._texts[random])
        text = _NAME_OF_REFUSED_POD.sub(r"\1*", text)
        return _AUTOSCALERS.sub(lambda found: f"{found[1]}{' '.join(sorted(found[2].split(' ')))}", text)

    def _learn(self, item: Object) -> None:
        meta = item["metadata"]
        for label in _HASH_LABELS:
            value = (meta.get("labels") or {}).get(label, "")
            self._learn_hash(value.rpartition("-")[2])
        for field in ("currentRevision", "updateRevision"):
            self._learn_hash(str((item.get("status") or {}).get(field) or "").rpartition("-")[2])
        prefix = meta.get("generateName", "")
        if prefix and meta["name"].startswith(prefix) and len(meta["name"]) > len(prefix):
            self._texts[meta["name"]] = self.text(prefix) + "*"
        self._texts[meta["uid"]] = f"<uid of {item['kind']}>"

    def _learn_hash(self, value: str) -> None:
        if value and value not in self._hashes:
            self._hashes[value] = None
            self._texts[value] = f"<hash {len(self._hashes)}>"


def _counted(body: str, count: int) -> Object:
    decoded: Object = json.loads(body)
    return {**({"count": count} if count > 1 else {}), **decoded}


def _kept(item: Object) -> Object:
    kind, meta, status = item["kind"], item["metadata"], item.get("status") or {}
    kept: Object = {field: _without_times(meta[field]) for field in _META if meta.get(field)}
    if kind == "ReplicaSet":
        del kept["generation"]  # the number of steps in which it got its size, which depends on the speed of all parts
        status = {key: value for key, value in status.items() if key != "observedGeneration"}
    if owners := meta.get("ownerReferences"):
        kept["owners"] = [_owner(owner) for owner in owners]
    if "deletionTimestamp" in meta:
        kept["terminating"] = f"within {meta.get('deletionGracePeriodSeconds') or 0} s"
    for path in _FIELDS.get(kind, ()):
        value = _at(item, path)
        if value not in (None, [], {}, "") and value is not False:
            kept[path] = _without_times(value)
    if kind in _WHOLE_STATUS:
        kept.update(
            {f"status.{field}": _without_times(value) for field, value in status.items() if _says(field, value)}
        )
        kept.pop("status.conditions", None)
    if kind == "Pod":
        resources = [container.get("resources") or {} for container in item["spec"]["containers"]]
        kept.update({"resources": resources} if any(resources) else {})
    if conditions := status.get("conditions"):
        kept["conditions"] = {each["type"]: _condition_text(each) for each in conditions}
    return kept


def _condition_text(condition: Object) -> str:
    """Return status, reason and message, such as `False (MinimumReplicasUnavailable): Deployment does not …`."""
    reason, message = condition.get("reason"), condition.get("message")
    return condition["status"] + (f" ({reason})" if reason else "") + (f": {message}" if message else "")


def _says(field: str, value: Any) -> bool:
    return field not in _TIMES and value not in (None, [], {}, "", 0)


def _owner(reference: Object) -> str:
    marks = "".join(f", {mark}" for mark in ("controller", "blockOwnerDeletion") if reference.get(mark))
    return f"{reference['kind']} {reference['name']}{marks}"


def _at(item: Object, path: str) -> Any:
    value: Any = item
    for part in path.split("."):
        value = (value or {}).get(part)
    return value


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(item) for key, item in value.items() if key not in _TIMES}
    return [_without_times(item) for item in value] if isinstance(value, list) else value
