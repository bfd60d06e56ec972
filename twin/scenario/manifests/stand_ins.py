"""Stand-ins for Secrets, ConfigMaps and PriorityClasses that pods and adapters name and no manifest contains.

People keep them out of the files that they share. All values are equal, so that the key of an adapter is that of its
engine; a PriorityClass has the value 0, which is that of a pod without one.
"""

import base64
from collections.abc import Iterator, Sequence
from typing import Any

from twin.apiserver.storage.admission_plugins import SYSTEM_CLASSES
from twin.scenario.errors import Note
from twin.scenario.manifests.reader import Entry
from twin.scenario.manifests.secrets import SecretRedactor
from twin.scenario.manifests.workloads import Workload

_VALUE = "value of a stand-in"
_PRIORITY_CLASS = "PriorityClass"
_TOKEN = "token"
"""Key in a stand-in for a Secret with credentials of an artifact store."""


def stand_ins(entries: Sequence[Entry], workloads: Sequence[Workload], secrets: SecretRedactor) -> list[Entry]:
    """Return the objects that are needed and missing, each at the place of the first object that needs it.

    `entries` are all objects and the first adapter of each template.
    """
    existing = {(entry.kind, entry.namespace, entry.name) for entry in entries}
    needed: dict[tuple[str, str, str], tuple[Entry, dict[str, str]]] = {}
    for entry, kind, name, key in [*_of_pods(workloads), *_of_adapters(entries)]:
        namespace = "" if kind == _PRIORITY_CLASS else entry.namespace
        _, data = needed.setdefault((kind, namespace, name), (entry, {}))
        data.update({key: _VALUE} if key else {})
    made = [
        Entry(_object(*identity, data), entry.document, entry.path)
        for identity, (entry, data) in needed.items()
        if identity not in existing
    ]
    if made:
        secrets.register([_VALUE])
    return [Entry(secrets.manifest(entry.object), entry.document, entry.path) for entry in made]


def note_on_stand_ins(made: Sequence[Entry]) -> list[Note]:
    """Return one note that names the stand-ins."""
    if not made:
        return []
    names = ", ".join(entry.title for entry in made)
    one = len(made) == 1
    subject, objects = (
        f"{names} {'is' if one else 'are'} not in the manifests",
        "a stand-in is" if one else "stand-ins are",
    )
    return [Note(f"{subject}: {objects} used, unless cluster.missing_secrets is absent")]


def _of_pods(workloads: Sequence[Workload]) -> Iterator[tuple[Entry, str, str, str]]:
    """Yield what containers need: the object with the pods, kind, name, and key if it is only one."""
    for workload in workloads:
        for reference in workload.references:
            yield workload.entry, *reference
        name = str(workload.spec.get("priorityClassName") or "")
        if name and name not in SYSTEM_CLASSES:
            yield workload.entry, _PRIORITY_CLASS, name, ""


def _of_adapters(entries: Sequence[Entry]) -> Iterator[tuple[Entry, str, str, str]]:
    for entry in entries:
        spec = entry.object.get("spec") if entry.kind == "ModelAdapter" else None
        for field in ("credentialsSecretRef", "apiKeySecretRef"):
            reference = (spec or {}).get(field) or {}
            if name := reference.get("name"):
                yield entry, "Secret", str(name), str(reference.get("key") or _TOKEN)


def _object(kind: str, namespace: str, name: str, data: dict[str, str]) -> dict[str, Any]:
    if kind == _PRIORITY_CLASS:
        return {"apiVersion": "scheduling.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "value": 0}
    if kind == "Secret":
        data = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, "data": data}
