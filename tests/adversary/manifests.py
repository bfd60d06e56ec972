"""Valid objects of `manifests.yaml`, and the paths of their collections."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Manifest:
    """An object and the path of its collection."""

    path: str
    body: Object

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @classmethod
    def parse(cls, entry: Object, labels: Object) -> "Manifest":
        """Return the manifest of an entry in the file: an object with its plural, in a namespace or not."""
        body = {key: value for key, value in entry.items() if key not in ("plural", "cluster", "path")}
        version = body["apiVersion"]
        root = entry.get("path") or (f"/apis/{version}" if "/" in version else f"/api/{version}")
        meta = {"labels": labels, "annotations": {"note": "x"}, **body["metadata"]}
        if entry.get("cluster"):
            return cls(f"{root}/{entry['plural']}", {**body, "metadata": meta})
        meta["namespace"] = "default"
        return cls(f"{root}/namespaces/default/{entry['plural']}", {**body, "metadata": meta})


def _read() -> tuple[tuple[Manifest, ...], tuple[Manifest, ...]]:
    file = YAML(typ="safe", pure=True).load(Path(__file__).with_name("manifests.yaml").read_text(encoding="utf-8"))
    objects, reviews = (
        tuple(Manifest.parse(entry, file["labels"]) for entry in file[part]) for part in ("objects", "reviews")
    )
    return objects, reviews


MANIFESTS, REVIEWS = _read()
"""Objects that can be stored, and access reviews, which can only be created."""
