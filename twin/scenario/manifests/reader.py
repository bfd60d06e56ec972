"""Reading of Kubernetes manifests, including the output of `kubectl get -o yaml`.

Lists are expanded, status and server-side metadata are dropped, and objects with a controller (such as the pods of a
Deployment) are ignored with a note. `admission.py` validates the objects.
"""

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path as File
from typing import Any

from twin.scenario.errors import Note, Path, Problem, ScenarioErrors, closest, dotted
from twin.scenario.manifests.sources import source_problem
from twin.scenario.yaml.positions import Document, documents

_SERVER_SIDE = (
    "resourceVersion", "uid", "creationTimestamp", "generation", "managedFields", "selfLink",
    "deletionTimestamp", "deletionGracePeriodSeconds",
)  # fmt: skip
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
CLUSTER_SCOPED = (
    "Namespace", "Node", "CustomResourceDefinition", "PriorityClass", "PersistentVolume", "StorageClass",
    "IngressClass", "RuntimeClass", "ClusterRole", "ClusterRoleBinding", "APIService",
    "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
    "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """Kubernetes object with its position."""

    object: dict[str, Any]
    document: Document
    path: Path

    @property
    def kind(self) -> str:
        return str(self.object.get("kind", ""))

    @property
    def name(self) -> str:
        return str(_metadata(self.object).get("name", ""))

    @property
    def namespace(self) -> str:
        return str(_metadata(self.object).get("namespace", ""))

    @property
    def title(self) -> str:
        """Return a title such as `Deployment default/qwen`."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    def problem(self, path: Path, message: str, allowed: str = "", *, key: bool = False) -> Problem:
        """Return an error at `path` in the object."""
        place = self.document.problem((*self.path, *path), message, allowed, key=key)
        return replace(place, path=dotted(path)) if place.line else place

    def note(self, text: str, path: Path = ()) -> Note:
        """Return a note on the value at `path` in the object."""
        line, _ = self.document.where((*self.path, *path))
        return Note(text, f"{self.document.file}:{line}")


@dataclass(slots=True)
class Manifests:
    """Objects, those that are left to their controllers, errors, and notes on ignored objects."""

    entries: list[Entry] = field(default_factory=list)
    controlled: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def read_manifests(scenario: Document, folder: File) -> Manifests:
    """Read the objects in a scenario's `manifests` and `objects`, in order."""
    manifests = Manifests()
    value = scenario.value if isinstance(scenario.value, dict) else {}
    patterns = value.get("manifests")
    loaded: set[str] = set()
    for index, pattern in enumerate(patterns if isinstance(patterns, list) else []):
        if isinstance(pattern, str) and pattern:
            _read_pattern(manifests, scenario, ("manifests", index), pattern, folder, loaded)
    inline = value.get("objects")
    for index, _ in enumerate(inline if isinstance(inline, list) else []):
        _take(manifests, scenario, ("objects", index))
    return manifests


def _read_pattern(
    manifests: Manifests, scenario: Document, at: Path, pattern: str, folder: File, loaded: set[str]
) -> None:
    matches = sorted(glob.glob(pattern, root_dir=folder, recursive=True))
    if not matches:
        others = glob.glob("**/*.y*ml", root_dir=folder, recursive=True)[:1000]
        close = closest(pattern, sorted(others))
        hint = f'did you mean "{close}"? ' if close else ""
        message = f'no file matches "{pattern}"' if glob.has_magic(pattern) else f'file "{pattern}" not found'
        manifests.problems.append(scenario.problem(at, message, f"{hint}allowed: YAML files, relative to the scenario"))
    for match in matches:
        if match in loaded:
            continue
        loaded.add(match)
        if (folder / match).is_dir():
            manifests.problems.append(
                scenario.problem(at, f'"{match}" is a folder', f"allowed: {match.rstrip('/')}/*.yaml")
            )
            continue
        try:
            name = os.path.normpath(os.path.join(os.path.dirname(scenario.file), match))
            for document in documents(folder / match, name):
                _take(manifests, document, ())
        except ScenarioErrors as error:
            manifests.problems += error.problems


def _take(manifests: Manifests, document: Document, path: Path) -> None:
    """Add one object, or each object of a list."""
    value: Any = document.value
    for step in path:
        value = value[step]
    if isinstance(value, dict) and str(value.get("kind", "")).endswith("List") and isinstance(value.get("items"), list):
        for index, item in enumerate(value["items"]):
            _name_kind(item, value)
            _take(manifests, document, (*path, "items", index))
        return
    if problem := source_problem(value, document, path):
        manifests.problems.append(problem)
        return
    errors = list(_shape(value, document, path))
    if errors:
        manifests.problems += errors
        return
    entry = Entry(_bare(value), document, path)
    if is_controlled(value):
        owner = next(owner for owner in owners_of(value) if owner.get("controller"))
        manifests.controlled.append(entry)
        manifests.notes.append(
            entry.note(f"{entry.title}: ignored: {owner.get('kind')} {owner.get('name')} creates it")
        )
    elif entry.kind == "CustomResourceDefinition":
        manifests.notes.append(entry.note(f"{entry.title}: ignored: the twin has its own definition of ModelAdapter"))
    else:
        manifests.entries.append(entry)


def _name_kind(item: Any, of: dict[str, Any]) -> None:
    """Give the item of a `DeploymentList`, which has none of its own, the list's kind and version."""
    kind = str(of["kind"]).removesuffix("List")
    if kind and isinstance(item, dict) and "kind" not in item:
        item["kind"] = kind
        item.setdefault("apiVersion", of.get("apiVersion"))


def _shape(value: Any, document: Document, path: Path) -> Iterator[Problem]:
    """Yield the errors of a value that is not a Kubernetes object."""
    at = Entry({}, document, path)
    if not isinstance(value, dict):
        yield at.problem((), "is not a Kubernetes object", "allowed: a mapping with apiVersion, kind and metadata")
        return
    for key in ("apiVersion", "kind"):
        if not isinstance(value.get(key), str) or not value[key]:
            other = closest(key, [k for k in value if k not in ("apiVersion", "kind", "metadata", "spec", "status")])
            hint = f'did "{other}" mean it? ' if other else ""
            message = f'is not a Kubernetes object: "{key}" is missing or not a string'
            yield at.problem((key,) if key in value else (), message, f"{hint}every object has one")
    for path in _null_items(value):
        yield at.problem(path, "is null", "allowed: a value")
    metadata = value.get("metadata")
    if not isinstance(metadata, dict):
        yield at.problem(("metadata",), 'is not a Kubernetes object: "metadata" is missing or not a mapping')
        return
    for key in ("name", "namespace"):
        if key in metadata and not isinstance(metadata[key], str):
            yield at.problem(("metadata", key), "is not a string", "allowed: a string (in quotes)")
    if not metadata.get("name"):
        yield at.problem(("metadata",), '"name" is missing', "every object needs a name")
    for key in ("labels", "annotations"):
        values = metadata.get(key)
        if values is not None and not isinstance(values, dict):
            yield at.problem(("metadata", key), "is not a mapping", "allowed: strings by name")
            continue
        for name, text in (values or {}).items():
            if not isinstance(text, str):
                yield at.problem(
                    ("metadata", key, name), "is not a string", 'allowed: a string (in quotes: "true", "8000")'
                )


def _bare(value: dict[str, Any]) -> dict[str, Any]:
    """Return the object without status and server-side metadata, with a namespace if its kind has one."""
    metadata = {key: item for key, item in value["metadata"].items() if key not in _SERVER_SIDE and item is not None}
    if _LAST_APPLIED in metadata.get("annotations", {}):
        annotations = {key: item for key, item in metadata["annotations"].items() if key != _LAST_APPLIED}
        metadata["annotations"] = annotations
    if value.get("kind") not in CLUSTER_SCOPED:
        metadata.setdefault("namespace", "default")
    rest = {key: item for key, item in value.items() if key != "status"}
    own = "." not in value["apiVersion"].split("/")[0]
    return {**(_present(rest) if own else rest), "metadata": metadata}


def _present(value: Any) -> Any:
    """Return a value without null fields, which for built-in kinds is equivalent."""
    match value:
        case dict():
            return {key: _present(item) for key, item in value.items() if item is not None}
        case list():
            return [_present(item) for item in value]
    return value


def _null_items(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the paths of null items in lists, which no kind allows."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        if item is None and isinstance(value, list):
            yield (*path, key)
        yield from _null_items(item, (*path, key))


def owners_of(value: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the owner references of an object."""
    owners = value["metadata"].get("ownerReferences")
    return [owner for owner in owners if isinstance(owner, dict)] if isinstance(owners, list) else []


def is_controlled(value: dict[str, Any]) -> bool:
    """Return True if another object creates this one."""
    return any(owner.get("controller") for owner in owners_of(value))


def _metadata(value: dict[str, Any]) -> dict[str, Any]:
    metadata = value.get("metadata")
    return metadata if isinstance(metadata, dict) else {}
