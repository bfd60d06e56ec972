"""OpenAPI v2 and v3 documents, for `kubectl explain`, `kubectl apply` and code generators.

Custom resources have the schema of their definition. Builtin kinds have only an outline: the store keeps unknown
fields, so a full schema would promise checks that are not made.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from twin.apiserver.codec.body import JSON, encode_json
from twin.apiserver.meta.errors import Object
from twin.apiserver.rest.openapi import protobuf as openapi_protobuf
from twin.apiserver.schema.resource_types import ResourceType

_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_FREE: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_FIELDS = "standard object's metadata; see the API conventions of Kubernetes"
_OBJECT_META: Object = {
    "type": "object",
    "description": "ObjectMeta is metadata that all persisted resources must have.",
    "properties": {
        **{name: {"type": "string"} for name in ("name", "generateName", "namespace", "uid", "resourceVersion")},
        **{name: {"type": "string", "format": "date-time"} for name in ("creationTimestamp", "deletionTimestamp")},
        **{name: {"type": "integer", "format": "int64"} for name in ("generation", "deletionGracePeriodSeconds")},
        **{name: {"type": "object", "additionalProperties": {"type": "string"}} for name in ("labels", "annotations")},
        "finalizers": {"type": "array", "items": {"type": "string"}},
        "ownerReferences": {"type": "array", "items": _FREE},
        "managedFields": {"type": "array", "items": _FREE},
    },
}
_QUERY = {
    "patch": ("dryRun", "fieldManager", "fieldValidation", "force"),
    "put": ("dryRun", "fieldManager", "fieldValidation"),
    "post": ("dryRun", "fieldManager", "fieldValidation"),
    "get": (),
    "delete": ("dryRun", "gracePeriodSeconds", "propagationPolicy"),
}
_INFO: Object = {"title": "Kubernetes", "version": "v1.33.0"}


class Document(NamedTuple):
    """An OpenAPI document in its media type."""

    content: bytes
    media_type: str = JSON


def find_document(path: str, kinds: Sequence[ResourceType], *, protobuf: bool) -> Document | None:
    """Return the document at a path under `/openapi`, or None.

    Args:
        path: path of the request.
        kinds: the served kinds.
        protobuf: whether the client accepts protobuf (v2 only).
    """
    path = path.rstrip("/")
    if path == "/openapi/v2":
        if protobuf:
            return Document(openapi_protobuf.encode(_v2(kinds)), openapi_protobuf.MEDIA_TYPE)
        return Document(encode_json(_v2(kinds)))
    if path == "/openapi/v3":
        places = {_place(group_version): group_version for group_version in _versions(kinds)}
        links = {place: {"serverRelativeURL": _link(place, kinds, *version)} for place, version in places.items()}
        return Document(encode_json({"paths": links}))
    for group, version in _versions(kinds):
        if path == f"/openapi/v3/{_place((group, version))}":
            return Document(encode_json(_v3(_of_version(kinds, group, version))))
    return None


def _versions(kinds: Iterable[ResourceType]) -> list[tuple[str, str]]:
    return sorted({(kind.group, kind.version) for kind in kinds})


def _of_version(kinds: Iterable[ResourceType], group: str, version: str) -> list[ResourceType]:
    return [kind for kind in kinds if (kind.group, kind.version) == (group, version)]


def _place(group_version: tuple[str, str]) -> str:
    group, version = group_version
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _link(place: str, kinds: Sequence[ResourceType], group: str, version: str) -> str:
    """Return the URL of a document; clients cache it until the hash changes."""
    digest = hashlib.sha256(encode_json(_v3(_of_version(kinds, group, version)))).hexdigest()[:32].upper()
    return f"/openapi/v3/{place}?hash={digest}"


def _v3(kinds: Sequence[ResourceType]) -> Object:
    schemas = {_name(kind): _schema(kind, "#/components/schemas/") for kind in kinds}
    return {
        "openapi": "3.0.0",
        "info": _INFO,
        "paths": {path: item for kind in kinds for path, item in _paths(kind, _v3_operation).items()},
        "components": {"schemas": {**schemas, _META: _OBJECT_META}},
    }


def _v2(kinds: Sequence[ResourceType]) -> Object:
    definitions = {_name(kind): _schema(kind, "#/definitions/") for kind in kinds}
    return {
        "swagger": "2.0",
        "info": _INFO,
        "paths": {path: item for kind in kinds for path, item in _paths(kind, _v2_operation).items()},
        "definitions": {**definitions, _META: _OBJECT_META},
    }


def _name(kind: ResourceType) -> str:
    group = kind.group or "core"
    if kind.custom:
        return ".".join([*reversed(group.split(".")), kind.version, kind.kind])
    return f"io.k8s.api.{group.split('.')[0]}.{kind.version}.{kind.kind}"


def _identity(kind: ResourceType) -> Object:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _schema(kind: ResourceType, prefix: str) -> Object:
    base: Mapping[str, Any] = kind.schema or {"type": "object", "description": f"{kind.kind}, as Kubernetes has it."}
    properties = dict(base.get("properties") or {"spec": _FREE, "status": _FREE})
    properties |= {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"description": _FIELDS, "allOf": [{"$ref": prefix + _META}]},
    }
    return {**base, "properties": properties, "x-kubernetes-group-version-kind": [_identity(kind)]}


def _paths(kind: ResourceType, operation: Any) -> dict[str, Object]:
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    collection = f"{root}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"
    item = collection + "/{name}"
    return {
        collection: {verb: operation(kind, verb, "list" if verb == "get" else verb) for verb in ("get", "post")},
        item: {verb: operation(kind, verb, verb) for verb in ("get", "put", "patch", "delete")},
    }


def _operation(kind: ResourceType, action: str) -> Object:
    return {
        "operationId": f"{action}{kind.group.split('.')[0].title() or 'Core'}{kind.version.title()}{kind.kind}",
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _identity(kind),
    }


def _v3_operation(kind: ResourceType, verb: str, action: str) -> Object:
    schema = {"$ref": f"#/components/schemas/{_name(kind)}"}
    return {
        **_operation(kind, action),
        "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in _QUERY[verb]],
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}},
    }


def _v2_operation(kind: ResourceType, verb: str, action: str) -> Object:
    return {
        **_operation(kind, action),
        "parameters": [{"name": name, "in": "query", "type": "string"} for name in _QUERY[verb]],
        "responses": {"200": {"description": "OK", "schema": {"$ref": f"#/definitions/{_name(kind)}"}}},
    }
