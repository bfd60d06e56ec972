"""The `scale` subresource: an `autoscaling/v1` Scale as a view of an object, and writing through it."""

from typing import Any

from twin.apiserver.meta.errors import ApiError, Object, invalid, unprocessable
from twin.apiserver.schema.resource_types import ResourceType, ScalePaths


def read_scale(kind: ResourceType, obj: Object) -> Object:
    """The Scale of an object.

    Raises:
        ApiError: 500, as from a real server, if a custom resource has no value at its replicas path.
    """
    paths = _paths(kind)
    wanted = _at(obj, paths.spec_replicas)
    if wanted is None and kind.custom:
        message = f'the spec replicas field ".{".".join(paths.spec_replicas)}" does not exist'
        raise ApiError(500, "InternalError", f"Internal error occurred: {message}")
    return _scale(obj, paths, wanted or 0)


def write_scale(kind: ResourceType, obj: Object, sent: Object) -> Object:
    """`obj` with the number of replicas that a Scale asks for."""
    meta = obj["metadata"]
    wanted = (sent.get("spec") or {}).get("replicas", 0)
    if type(wanted) is not int or wanted < 0:
        fault = invalid("spec.replicas", wanted, "must be greater than or equal to 0")
        raise unprocessable("Scale", "autoscaling", meta["name"], [fault])
    version = (sent.get("metadata") or {}).get("resourceVersion")
    changed: Object = _put(obj, _paths(kind).spec_replicas, wanted)
    if not version:
        return changed
    return {**changed, "metadata": {**meta, "resourceVersion": version}}


def scale_to_patch(kind: ResourceType, obj: Object) -> Object:
    """The Scale that a patch starts from: 0 replicas where none are set."""
    paths = _paths(kind)
    return _scale(obj, paths, _at(obj, paths.spec_replicas) or 0)


def _scale(obj: Object, paths: ScalePaths, wanted: int) -> Object:
    meta = obj["metadata"]
    shown = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: Object = {"replicas": _at(obj, paths.status_replicas) or 0}
    selector = _at(obj, paths.selector) if paths.selector else None
    if selector:
        status["selector"] = selector if isinstance(selector, str) else _selector_text(selector)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: meta[key] for key in shown if key in meta},
        "spec": {"replicas": wanted},
        "status": status,
    }


def _selector_text(selector: Object) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items()))


def _paths(kind: ResourceType) -> ScalePaths:
    if kind.scale is None:
        raise ApiError(404, "NotFound", f"{kind.resource} have no subresource 'scale'")
    return kind.scale


def _at(obj: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(obj, dict):
            return None
        obj = obj.get(name)
    return obj


def _put(obj: Object, path: tuple[str, ...], value: Any) -> Object:
    name, rest = path[0], path[1:]
    return {**obj, name: _put(obj.get(name) or {}, rest, value) if rest else value}
