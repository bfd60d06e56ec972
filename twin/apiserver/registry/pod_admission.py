"""Fields of a new pod that its template does not get.

Set by the defaults of pods (requests, from limits) and by admission plugins (DefaultTolerationSeconds, Priority).
"""

from twin.apiserver.meta.errors import Object

_TOLERATED_SECONDS = 300  # plugin/pkg/admission/defaulttolerationseconds
_TOLERATED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_PRIORITY: Object = {"priority": 0, "preemptionPolicy": "PreemptLowerPriority"}  # without a PriorityClass


def with_pod_fields(spec: Object) -> Object:
    """Return the spec of a new pod with requests, tolerations of nodes that fail, and its priority."""
    tolerations = spec.get("tolerations") or []
    added = [_toleration(key) for key in _TOLERATED if not any(_tolerates(item, key) for item in tolerations)]
    filled = {**_PRIORITY, **spec, **({"tolerations": [*tolerations, *added]} if added else {})}
    for field in ("containers", "initContainers"):
        if any((item.get("resources") or {}).get("limits") for item in spec.get(field) or ()):
            filled[field] = [_with_requests(item) for item in spec[field]]
    return filled


def _with_requests(container: Object) -> Object:
    """Return the container with a request for each limit; `pkg/apis/core/v1/defaults.go`, SetDefaults_Pod."""
    resources = container.get("resources") or {}
    limits = resources.get("limits") or {}
    return {**container, "resources": {**resources, "requests": {**limits, **(resources.get("requests") or {})}}}


def _toleration(key: str) -> Object:
    return {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATED_SECONDS}


def _tolerates(toleration: Object, key: str) -> bool:
    return toleration.get("key", "") in ("", key) and toleration.get("effect", "") in ("", "NoExecute")
