"""The `scale` subresource: an `autoscaling/v1` Scale as a view of an object."""

from operator import itemgetter
from typing import Any

from twin.apiserver.meta.errors import ApiError, Object, bad_request, invalid, unprocessable
from twin.apiserver.schema.resource_types import ResourceType, ScalePaths


def read_scale(kind: ResourceType, obj: Object) -> Object:
    """Return the Scale of an object.

    Raises:
        ApiError: 500, as from a real server, if a custom resource has no value at its replicas path.
    """
    paths = _paths(kind)
    replicas = _get(obj, paths.spec_replicas)
    if replicas is None and kind.custom:
        message = f'the spec replicas field ".{".".join(paths.spec_replicas)}" does not exist'
        raise ApiError(500, "InternalError", f"Internal error occurred: {message}")
    return _scale(obj, paths, replicas or 0)


def write_scale(kind: ResourceType, obj: Object, sent: Object) -> Object:
    """Return `obj` with the replicas of a Scale."""
    meta = obj["metadata"]
    if not all(isinstance(sent.get(field) or {}, dict) for field in ("metadata", "spec")):
        raise bad_request('Scale in version "v1" cannot be handled as a Scale: metadata and spec have to be objects')
    replicas = (sent.get("spec") or {}).get("replicas", 0)
    if type(replicas) is not int or replicas < 0:
        error = invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise unprocessable("Scale", "autoscaling", meta["name"], [error])
    version = (sent.get("metadata") or {}).get("resourceVersion")
    changed: Object = _put(obj, _paths(kind).spec_replicas, replicas)
    if not version:
        return changed
    return {**changed, "metadata": {**meta, "resourceVersion": version}}


def scale_to_patch(kind: ResourceType, obj: Object) -> Object:
    """Return the Scale to which a patch is applied: 0 replicas if none are set."""
    paths = _paths(kind)
    return _scale(obj, paths, _get(obj, paths.spec_replicas) or 0)


def _scale(obj: Object, paths: ScalePaths, replicas: int) -> Object:
    meta = obj["metadata"]
    fields = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: Object = {"replicas": _get(obj, paths.status_replicas) or 0}
    selector = _get(obj, paths.selector) if paths.selector else None
    if selector:
        status["selector"] = selector if isinstance(selector, str) else _selector_text(selector)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: meta[key] for key in fields if key in meta},
        "spec": {"replicas": replicas},
        "status": status,
    }


def _selector_text(selector: Object) -> str:
    """Return a label selector as text, its requirements sorted by key (`LabelSelectorAsSelector`)."""
    terms = [(key, f"{key}={value}") for key, value in (selector.get("matchLabels") or {}).items()]
    for item in selector.get("matchExpressions") or ():
        key, operator, values = item["key"], item["operator"], ",".join(sorted(item.get("values") or ()))
        if operator == "DoesNotExist":
            terms.append((key, f"!{key}"))
        else:
            terms.append((key, key if operator == "Exists" else f"{key} {operator.lower()} ({values})"))
    return ",".join(text for _, text in sorted(terms, key=itemgetter(0)))


def _paths(kind: ResourceType) -> ScalePaths:
    if kind.scale is None:
        raise ApiError(404, "NotFound", f"{kind.resource} have no subresource 'scale'")
    return kind.scale


def _get(obj: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(obj, dict):
            return None
        obj = obj.get(name)
    return obj


def _put(obj: Object, path: tuple[str, ...], value: Any) -> Object:
    name, rest = path[0], path[1:]
    return {**obj, name: _put(obj.get(name) or {}, rest, value) if rest else value}
