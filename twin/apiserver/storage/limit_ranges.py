"""LimitRanges: default requests and limits of new pods, and refusals of those beyond the limits.

Source: `plugin/pkg/admission/limitranger/admission.go`. Checked are containers and pods; claims are not.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from formats.quantities import parse_quantity
from twin.apiserver.meta.errors import Object, forbidden

_ANNOTATION = "kubernetes.io/limit-ranger"
_FIELDS = (("containers", "container"), ("initContainers", "init container"))


def with_defaults(pod: Object, ranges: Sequence[Object]) -> Object:
    """Return a new pod with the default requests and limits of the ranges of its namespace.

    What is malformed stays as it is, and is refused after this.
    """
    spec, applied = dict(pod.get("spec") or {}), list[str]()
    for item in _limits(ranges, "Container"):
        for field, title in _FIELDS:
            if spec.get(field):
                spec[field] = [_container(each, item, title, applied) if each else each for each in spec[field]]
    meta = pod.get("metadata") or {}
    if not applied or not isinstance(meta.get("annotations"), dict | None):
        return pod
    text = f"LimitRanger plugin set: {'; '.join(applied)}"
    return {
        **pod,
        "metadata": {**meta, "annotations": {**(meta.get("annotations") or {}), _ANNOTATION: text}},
        "spec": spec,
    }


def _container(container: Object, item: Object, title: str, applied: list[str]) -> Object:
    """Return a container with defaults; what is set is appended to `applied`."""
    resources: dict[str, Any] = dict(container.get("resources") or {})
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    given = {**limits, **requests}
    for part, defaults, present in (
        ("requests", item.get("defaultRequest") or {}, given),
        ("limits", item.get("default") or {}, limits),
    ):
        added = {name: value for name, value in defaults.items() if name not in present}
        if added:
            resources[part] = {**(resources.get(part) or {}), **added}
            applied.append(f"{', '.join(sorted(added))} {part.removesuffix('s')} for {title} {container.get('name')}")
    return {**container, "resources": resources} if resources else container


def check_limits(pod: Object, ranges: Sequence[Object]) -> None:
    """Check a pod with its defaults against the ranges of its namespace.

    Raises:
        ApiError: 403, as of a real server.
    """
    containers = [(c, "Container") for field, _ in _FIELDS for c in pod["spec"].get(field) or ()]
    parts = [(container.get("resources") or {}, type_) for container, type_ in containers]
    parts.append((_of_pod(pod), "Pod"))
    errors = [
        error
        for resources, type_ in parts
        for item in _limits(ranges, type_)
        for error in _errors(resources, item, type_)
    ]
    if errors:
        reason = errors[0] if len(errors) == 1 else f"[{', '.join(dict.fromkeys(errors))}]"
        raise forbidden("pods", "", pod["metadata"]["name"], reason)


def _limits(ranges: Sequence[Object], type_: str) -> Iterator[Object]:
    for item in ranges:
        yield from (each for each in (item.get("spec") or {}).get("limits") or () if each.get("type") == type_)


def _errors(resources: Object, item: Object, type_: str) -> Iterator[str]:
    """Yield the errors of the resources of a container or pod."""
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for name, lowest in sorted((item.get("min") or {}).items()):
        start = f"minimum {name} usage per {type_} is {lowest}"
        if name not in requests:
            yield f"{start}. No request is specified"
        elif parse_quantity(requests[name]) < parse_quantity(lowest):
            yield f"{start}, but request is {requests[name]}"
        elif name in limits and parse_quantity(limits[name]) < parse_quantity(lowest):
            yield f"{start}, but limit is {limits[name]}"
    for name, highest in sorted((item.get("max") or {}).items()):
        start = f"maximum {name} usage per {type_} is {highest}"
        if name not in limits:
            yield f"{start}. No limit is specified"
        elif parse_quantity(limits[name]) > parse_quantity(highest):
            yield f"{start}, but limit is {limits[name]}"


def _of_pod(pod: Object) -> Object:
    """Return the sums of the containers' requests and limits."""
    sums: dict[str, dict[str, Decimal]] = {"requests": {}, "limits": {}}
    for container in pod["spec"].get("containers") or ():
        resources: Mapping[str, Any] = container.get("resources") or {}
        for part, total in sums.items():
            for name, value in (resources.get(part) or {}).items():
                total[name] = total.get(name, Decimal(0)) + parse_quantity(value)
    return sums
