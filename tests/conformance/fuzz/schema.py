"""Schemas of request bodies: recorded from the classes of real releases, without what the bodies do not need."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from tests.conformance.recording_files import Files


class _Node(msgspec.Struct):
    """Keywords of a JSON schema that the bodies are made from; others are not looked at."""

    ref: str = msgspec.field(default="", name="$ref")
    type: str | list[str] | UnsetType = UNSET
    properties: dict[str, "_Node"] = {}
    items: "_Node | bool | UnsetType" = UNSET
    additional_properties: "_Node | bool | UnsetType" = msgspec.field(default=UNSET, name="additionalProperties")
    any_of: list["_Node"] = msgspec.field(default_factory=list, name="anyOf")
    one_of: list["_Node"] = msgspec.field(default_factory=list, name="oneOf")
    required: list[str] = []
    enum: list[Any] = []
    minimum: float | UnsetType = UNSET
    maximum: float | UnsetType = UNSET


FILES = Files(Path(__file__).parent / "schemas", "vllm", "record-schema", entries=_Node)
_REFERENCE = "#/components/schemas/"
_PROSE = ("title", "description", "examples", "deprecated")

Node = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Schema:
    """Bodies that the routes of one release take.

    Attributes:
        version: vLLM's release.
        routes: schema of each route's body.
        definitions: schemas that others refer to, by name.
    """

    version: str
    routes: Mapping[str, Node]
    definitions: Mapping[str, Node]

    def resolve(self, node: Node) -> Node:
        """Return the schema that `node` refers to, or `node` itself."""
        while "$ref" in node:
            node = self.definitions[node["$ref"]]
        return node

    def branches(self, node: Node) -> list[Node]:
        """Return the alternatives of a schema; one, if it has none."""
        node = self.resolve(node)
        return [self.resolve(branch) for branch in node.get("anyOf") or node.get("oneOf") or [node]]

    def names(self, class_name: str) -> list[str]:
        """Return the fields of a request class, none if the release has no such class."""
        return list(self.definitions.get(class_name, {}).get("properties", {}))

    def fields(self, route: str) -> dict[str, Node]:
        """Return the fields of a route's body, those of all its alternatives."""
        properties: dict[str, Node] = {}
        for branch in self.branches(self.routes[route]):
            properties |= {name: node for name, node in branch.get("properties", {}).items() if name not in properties}
        return properties


def read(version: str) -> Schema:
    """Read the schema of a release.

    Raises:
        RecordingError: if the file is missing, damaged, or of another version than its name says.
    """
    document = FILES.read(version, "routes", "definitions")
    for name, node in (*document["routes"].items(), *document["definitions"].items()):
        if lost := _references(node) - document["definitions"].keys():
            raise FILES.damaged(version, f"{name}: no definition of {min(lost)}")
    return Schema(version, document["routes"], document["definitions"])


def _references(node: Any) -> set[str]:
    """Return the names that a schema refers to."""
    if isinstance(node, list):
        return set().union(*map(_references, node))
    if not isinstance(node, dict):
        return set()
    own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
    return own.union(*map(_references, node.values()))


def write(schema: Schema) -> None:
    """Write a schema, one definition a line."""
    FILES.folder.mkdir(exist_ok=True)
    parts = [f'{{"version": {json.dumps(schema.version)}']
    for section in ("routes", "definitions"):
        entries = getattr(schema, section)
        lines = [f"  {json.dumps(name)}: {json.dumps(entries[name])}" for name in sorted(entries)]
        parts.append(f'"{section}": {{\n' + ",\n".join(lines) + "\n}")
    FILES.path(schema.version).write_text(",\n".join(parts) + "}\n", encoding="utf-8")


def reduce(document: Mapping[str, Any], version: str) -> Schema:
    """Return the schema that `request_classes.py` printed, without prose."""
    routes = {route: _reduced(node) for route, node in document["routes"].items()}
    definitions = {name: _reduced(node) for name, node in document["$defs"].items()}
    return Schema(version, routes, definitions)


def _reduced(node: Any) -> Any:
    """Return a schema without prose, with short references."""
    if isinstance(node, list):
        return [_reduced(item) for item in node]
    if not isinstance(node, dict):
        return node
    reduced = {}
    for key, value in node.items():
        if key == "$ref":
            reduced[key] = value.removeprefix(_REFERENCE)
        elif key in ("properties", "patternProperties"):
            reduced[key] = {name: _reduced(item) for name, item in value.items()}
        elif key not in _PROSE:
            reduced[key] = _reduced(value)
    return reduced
