"""Create and update strategy: what the server sets, keeps and refuses when an object is written.

Pure functions on JSON values, from what a client sent to what is stored. The order is a real server's: identity, then
the subresource, then the rules of the kind, then metadata; all field errors are reported together.
"""

from collections.abc import Callable
from typing import Any, Literal

from twin.apiserver.meta.errors import (
    ApiError,
    FieldError,
    Object,
    bad_request,
    conflict,
    invalid,
    required,
    undecodable,
    unprocessable,
    unsupported_patch,
)
from twin.apiserver.patch import json_patch, strategic_merge
from twin.apiserver.patch.json_patch import json_equal
from twin.apiserver.schema import metadata
from twin.apiserver.schema.resource_types import ResourceType
from twin.apiserver.schema.value_validations import ROOT

PatchType = Literal["merge", "strategic", "json", "apply"]

_GENERATED_NAME = 58  # characters of generateName that are kept; k8s.io/apiserver/pkg/storage/names
_NAME_ATTEMPTS = 8  # tries to generate a name that is free; k8s.io/apiserver, RetryGenerateName

_SERVER_OWNED = (
    "name",
    "namespace",
    "generateName",
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "resourceVersion",
)
_TEXTS = ("name", "namespace", "generateName", "uid", "resourceVersion")
_NOT_FROM_CLIENT = frozenset({"selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields"})
_DROPPED_IF_EMPTY = ("labels", "annotations", "finalizers", "ownerReferences")


def check_identity(kind: ResourceType, obj: Object) -> None:
    """Check that the sent value is an object of this kind.

    Raises:
        ApiError: 400.
    """
    if not isinstance(obj, dict) or not isinstance(obj.get("metadata") or {}, dict):
        raise bad_request(
            f'{kind.kind} in version "{kind.version}" cannot be handled: it is not an object with metadata'
        )
    for field in _TEXTS:
        if not isinstance((obj.get("metadata") or {}).get(field, ""), str | None):
            raise bad_request(
                f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: metadata.{field} has to '
                "be a string"
            )
    for field, expected in (("apiVersion", kind.api_version), ("kind", kind.kind)):
        actual = obj.get(field, expected)
        if actual != expected:
            raise bad_request(
                f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: the object\'s {field} is '
                f"{actual!r}, but {kind.resource} takes {expected!r}"
            )


def check_subresource(kind: ResourceType, subresource: str) -> str:
    """Return `subresource`.

    Raises:
        ApiError: 404 if the kind does not have it.
    """
    if subresource and subresource not in kind.subresources and not (kind.binding and subresource == "binding"):
        raise ApiError(404, "NotFound", f"{kind.resource} have no subresource {subresource!r}")
    return subresource


def name_for(obj: Object, suffix: Callable[[], str], taken: Callable[[str], bool]) -> str:
    """Return the name of a new object: its own, one from `generateName`, or "" if it has neither."""
    meta = obj.get("metadata") or {}
    name, base = str(meta.get("name") or ""), str(meta.get("generateName") or "")
    if name or not base:
        return name
    for _ in range(_NAME_ATTEMPTS):
        name = base[:_GENERATED_NAME] + suffix()
        if not taken(name):
            break
    return name


def namespace_of(kind: ResourceType, obj: Object, namespace: str) -> str:
    """Return the namespace of a new object: of the request, its own, or `default`, as with kubectl."""
    own = str((obj.get("metadata") or {}).get("namespace") or "")
    if not kind.namespaced:
        if namespace or own:
            raise bad_request(f"{kind.resource} have no namespace, but {namespace or own!r} was given")
        return ""
    if own and namespace and own != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    return namespace or own or "default"


def prepare_create(kind: ResourceType, obj: Object, *, name: str, namespace: str, uid: str, created: str) -> Object:
    """Return the object to store for a create, without a resourceVersion.

    Raises:
        ApiError: 422 with all errors.
    """
    sent = obj.get("metadata") or {}
    if sent.get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    meta = {key: value for key, value in sent.items() if key not in _NOT_FROM_CLIENT and value is not None}
    meta["name"] = name
    if namespace:
        meta["namespace"] = namespace
    meta["uid"] = uid
    meta["creationTimestamp"] = created
    meta.pop("generation", None)
    if kind.generation:
        meta["generation"] = 1
    meta = _without_empty(meta)
    new = {"apiVersion": kind.api_version, "kind": kind.kind, **obj, "metadata": meta}
    if kind.status and not kind.keeps_status_on_create:
        new.pop("status", None)
    errors: list[FieldError] = []
    if not name:
        errors.append(required("metadata.name", "name or generateName is required"))
    else:
        errors += [invalid("metadata.name", name, error) for error in kind.name_rule(name)]
    errors += metadata.check_create(meta)
    admitted = _admit(kind, new, None, errors)
    if errors:
        raise unprocessable(kind.kind, kind.group, name or str(sent.get("generateName", "")), errors)
    return admitted


def _admit(kind: ResourceType, new: Object, old: Object | None, errors: list[FieldError]) -> Object:
    """Return `new` after the rules of its kind."""
    check_types(kind, new, old)
    return kind.admit(new, old, errors)


def check_types(kind: ResourceType, new: Object, old: Object | None = None) -> None:
    """Check the JSON types of a builtin object.

    Raises:
        ApiError: 400 if a field has the wrong one.
    """
    if kind.types is not None:
        mistyped: list[FieldError] = []
        kind.types(new, old, ROOT, mistyped)
        if mistyped:
            raise undecodable(kind.kind, kind.version, mistyped)


def prepare_update(kind: ResourceType, old: Object, sent: Object, subresource: str) -> Object:
    """Return the object to store in place of `old`; `old` itself if nothing changes.

    Raises:
        ApiError: 409 if the update was made for another version, 422 if it is invalid.
    """
    if sent is old:
        return old
    check_identity(kind, sent)
    _check_preconditions(kind, old, sent.get("metadata") or {})
    if subresource == "status":
        new = _with_status(old, sent)
    elif subresource == "binding":
        new = {**old, "spec": sent["spec"], "status": sent["status"]}
    else:
        new = _with_status(sent, old) if kind.status else sent
        new = _with_metadata(new, old)
        if kind.finalize and subresource != "finalize":
            new = {**new, "spec": old.get("spec") or {}}
    errors: list[FieldError] = []
    new = _admit(kind, new, old, errors)
    if new["metadata"] is not old["metadata"]:
        errors += metadata.check_update(new["metadata"], old["metadata"])
    if errors:
        raise unprocessable(kind.kind, kind.group, old["metadata"]["name"], errors)
    if json_equal(new, old):
        return old
    return _with_generation(new, old) if kind.generation and subresource != "binding" else new


def apply_patch(kind: ResourceType, target: Object, body: Any, type: PatchType) -> Object:
    """Return `target` after a JSON, merge or strategic merge patch.

    Raises:
        ApiError: 415 if the kind does not support the patch type, 400 or 422 if the patch is invalid or does not fit.
    """
    match type:
        case "merge":
            result = json_patch.merge(target, body)
        case "json":
            result = json_patch.json_patch(target, body)
        case "strategic" if not kind.custom:
            result = strategic_merge.merge(target, body, kind.merge_type)
        case _:
            raise unsupported_patch(
                f"the body of the request was in an unknown format: {kind.resource} take no {type} patch; "
                "accepted media types include: application/json-patch+json, application/merge-patch+json, "
                "application/apply-patch+yaml"
            )
    if not isinstance(result, dict):
        raise bad_request(f"the result of a patch of {kind.resource} must be an object, not {result!r}")
    return result


def check_preconditions(kind: ResourceType, old: Object, *, uid: str = "", resource_version: str = "") -> None:
    """Check the uid and resourceVersion that a request names.

    Raises:
        ApiError: 409 if they differ.
    """
    meta = old["metadata"]
    name = meta["name"]
    if uid and uid != meta["uid"]:
        cause = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta['uid']}"
        raise conflict(kind.plural, kind.group, name, cause)
    if resource_version and resource_version != meta["resourceVersion"]:
        raise conflict(kind.plural, kind.group, name)


def _check_preconditions(kind: ResourceType, old: Object, sent: Object) -> None:
    current = old["metadata"]
    if sent is current:
        return
    for field in ("name", "namespace"):
        sent_value = sent.get(field) or current.get(field)
        if sent_value != current.get(field):
            raise bad_request(
                f"the {field} of the object ({sent_value}) does not match the {field} on the URL ({current.get(field)})"
            )
    check_preconditions(kind, old, uid=sent.get("uid") or "", resource_version=str(sent.get("resourceVersion") or ""))


def _with_status(target: Object, source: Object) -> Object:
    """Return `target` with the status of `source`."""
    if target.get("status") is source.get("status"):
        return target
    if source.get("status") is None:
        return {key: value for key, value in target.items() if key != "status"}
    return {**target, "status": source["status"]}


def _with_metadata(new: Object, old: Object) -> Object:
    """Return `new` with apiVersion, kind, and the metadata that only the server sets."""
    before, sent = old["metadata"], new.get("metadata") or {}
    if sent is before:
        return new
    differing = [key for key in _SERVER_OWNED if sent.get(key) is not before.get(key)]
    meta = sent
    if differing:
        meta = {key: value for key, value in sent.items() if key not in differing}
        meta.update({key: before[key] for key in differing if key in before})
    meta = _without_empty(meta)
    meta = before if json_equal(meta, before) else meta
    return {"apiVersion": old["apiVersion"], "kind": old["kind"], **new, "metadata": meta}


def _without_empty(meta: Object) -> Object:
    """Return metadata without empty maps and lists, as Kubernetes omits them."""
    empty = [key for key in _DROPPED_IF_EMPTY if key in meta and not meta[key]]
    return {key: value for key, value in meta.items() if key not in empty} if empty else meta


def _with_generation(new: Object, old: Object) -> Object:
    """Return `new` with an increased generation if anything but metadata and status has changed."""
    for key in (*new, *old):
        if key not in ("metadata", "status") and not json_equal(new.get(key), old.get(key)):
            return {**new, "metadata": {**new["metadata"], "generation": old["metadata"].get("generation", 0) + 1}}
    return new


def check_versioned(kind: ResourceType, sent: Object) -> None:
    """Check that an update names a resourceVersion if the kind requires it.

    Raises:
        ApiError: 422.
    """
    meta = sent.get("metadata") or {}
    if not kind.unconditional_update and not meta.get("resourceVersion"):
        error = invalid("metadata.resourceVersion", 0, "must be specified for an update")
        raise unprocessable(kind.plural, kind.group, str(meta.get("name", "")), [error])
