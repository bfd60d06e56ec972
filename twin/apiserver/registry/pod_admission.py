"""Fields of a new pod that admission plugins set: DefaultTolerationSeconds and Priority."""

from twin.apiserver.meta.errors import Object

_TOLERATED_SECONDS = 300  # plugin/pkg/admission/defaulttolerationseconds
_TOLERATED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_PRIORITY: Object = {"priority": 0, "preemptionPolicy": "PreemptLowerPriority"}  # without a PriorityClass


def with_plugin_fields(spec: Object) -> Object:
    """Return the spec of a new pod with tolerations of nodes that fail, and its priority."""
    tolerations = spec.get("tolerations") or []
    added = [_toleration(key) for key in _TOLERATED if not any(_tolerates(item, key) for item in tolerations)]
    return {**_PRIORITY, **spec, **({"tolerations": [*tolerations, *added]} if added else {})}


def _toleration(key: str) -> Object:
    return {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATED_SECONDS}


def _tolerates(toleration: Object, key: str) -> bool:
    return toleration.get("key", "") in ("", key) and toleration.get("effect", "") in ("", "NoExecute")
