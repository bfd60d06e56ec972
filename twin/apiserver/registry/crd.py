"""CustomResourceDefinitions: from a manifest to a resource type.

What a real server refuses when a CRD is created is refused here as well, as far as possible: schemas that are not
structural, rules that do not compile, names that are not plural.group.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from twin.apiserver.meta.errors import FieldError, Object, invalid, required
from twin.apiserver.schema.merge_types import from_schema, object_type
from twin.apiserver.schema.resource_types import Admit, ResourceType, ScalePaths
from twin.apiserver.schema.structural import compile_schema
from twin.apiserver.schema.value_validations import ROOT

_METADATA: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_STRING: Object = {"type": "string"}


def check_definition(manifest: Object, errors: list[FieldError]) -> None:
    """Append the errors of a CRD manifest to `errors`."""
    spec = manifest.get("spec") or {}
    names = spec.get("names") or {}
    for field in ("group", "scope", "versions"):
        if not spec.get(field):
            errors.append(required(f"spec.{field}"))
    for field in ("plural", "kind"):
        if not names.get(field):
            errors.append(required(f"spec.names.{field}"))
    for index, version in enumerate(spec.get("versions") or ()):
        if not version.get("name"):
            errors.append(required(f"spec.versions[{index}].name"))
    if errors:
        return
    expected = f"{names['plural']}.{spec['group']}"
    name = manifest["metadata"].get("name")
    if name != expected:
        errors.append(invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    storage_versions = [version["name"] for version in spec["versions"] if version.get("storage")]
    if len(storage_versions) != 1:
        errors.append(
            invalid("spec.versions", storage_versions, "must have exactly one version marked as storage version")
        )
    for index, version in enumerate(spec["versions"]):
        try:
            _admit(_schema(version))
        except ValueError as error:
            errors.append(invalid(f"spec.versions[{index}].schema", version["name"], str(error)))


def resource_type(manifest: Object) -> ResourceType:
    """Return the kind that a valid CRD manifest defines, in its storage version."""
    spec = manifest["spec"]
    names = spec["names"]
    version = next(version for version in spec["versions"] if version.get("storage"))
    schema = _schema(version)
    subresources = version.get("subresources") or {}
    scale = subresources.get("scale")
    status = "status" in subresources
    return ResourceType(
        plural=names["plural"],
        kind=names["kind"],
        group=spec["group"],
        version=version["name"],
        namespaced=spec["scope"] == "Namespaced",
        singular=names.get("singular") or names["kind"].lower(),
        short_names=tuple(names.get("shortNames", ())),
        categories=tuple(names.get("categories", ())),
        status=status,
        scale=_scale(scale) if scale else None,
        generation=True,
        unconditional_update=False,
        custom=True,
        admit=_admit(schema),
        merge_type=object_type(**from_schema(schema).fields),
        selectable=tuple(field["jsonPath"].removeprefix(".") for field in version.get("selectableFields") or ()),
        columns=tuple(version.get("additionalPrinterColumns", ())),
        schema=schema,
    )


def with_established_status(manifest: Object, now: str) -> Object:
    """Return the manifest with the status of an established definition."""
    spec = manifest["spec"]
    names = spec["names"]
    condition = {"status": "True", "lastTransitionTime": now}
    status = {
        "acceptedNames": {"singular": names["kind"].lower(), "listKind": f"{names['kind']}List", **names},
        "conditions": [
            {"type": "NamesAccepted", "reason": "NoConflicts", "message": "no conflicts found", **condition},
            {
                "type": "Established",
                "reason": "InitialNamesAccepted",
                "message": "the initial names have been accepted",
                **condition,
            },
        ],
        "storedVersions": [version["name"] for version in spec["versions"] if version.get("storage")],
    }
    return {**manifest, "status": status}


def _schema(version: Mapping[str, Any]) -> Object:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if not isinstance(schema, dict):
        raise ValueError("schemas are required: openAPIV3Schema is missing")
    if schema.get("type") != "object":
        raise ValueError("openAPIV3Schema.type: must be object at the root")
    return schema


def _admit(schema: Object) -> Admit:
    """Return the rules of a schema: pruning, defaults and validation. `metadata` is left to the server."""
    return _compile_rules(json.dumps(schema))


@lru_cache(maxsize=32)
def _compile_rules(text: str) -> Admit:
    """Return the rules of a schema in JSON; compiled once, since every simulated cluster has the same definition."""
    schema: Object = json.loads(text)
    properties = {**schema.get("properties", {}), "apiVersion": _STRING, "kind": _STRING, "metadata": _METADATA}
    check = compile_schema({**schema, "properties": properties})

    def admit(new: Object, old: Object | None, errors: list[FieldError]) -> Object:
        admitted: Object = check(new, old, ROOT, errors)
        return admitted

    return admit


def _scale(scale: Mapping[str, str]) -> ScalePaths:
    def path(name: str) -> tuple[str, ...]:
        return tuple(scale.get(name, "").strip(".").split("."))

    selector = path("labelSelectorPath") if scale.get("labelSelectorPath") else ()
    return ScalePaths(path("specReplicasPath"), path("statusReplicasPath"), selector)
