"""CustomResourceDefinitions of the kinds whose controllers are simulated, reduced to what the controllers read.

Groups, versions, names, defaults and subresources are those of the definitions that the projects publish:
`config/crd/bases` of kubernetes-sigs/lws (v1) with the defaults of its webhook, `config/crd/orchestration` of
vllm-project/aibrix (v1alpha1), and `config/crd/bases` of KubeRay's ray-operator (v1). Pod templates are kept as they
are; the pods that come out of them are validated as pods.
"""

from functools import cache
from typing import Any

Schema = dict[str, Any]

_ANY: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_LIMIT: Schema = {"x-kubernetes-int-or-string": True, "pattern": "^[0-9]{1,9}%$"}
"""Number or percentage. The published definitions take any text; what the controllers cannot read is refused here."""


def _count(default: int | None = None, minimum: int = 0) -> Schema:
    number: Schema = {"type": "integer", "format": "int32", "minimum": minimum}
    return number if default is None else {**number, "default": default}


def _choice(*allowed: str, default: str = "") -> Schema:
    text: Schema = {"type": "string", "enum": list(allowed)}
    return {**text, "default": default} if default else text


def _object(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    schema: Schema = {**_ANY, "properties": properties}
    return {**schema, "required": list(required)} if required else schema


_LEADER_WORKER_SET = _object(
    ("leaderWorkerTemplate",),
    replicas=_count(1),
    startupPolicy=_choice("LeaderCreated", "LeaderReady", default="LeaderCreated"),
    leaderWorkerTemplate=_object(
        ("workerTemplate",),
        size=_count(1, minimum=1),
        restartPolicy=_choice(
            "Default",
            "RecreateGroupOnPodRestart",
            "RecreateGroupAfterStart",
            "None",
            default="RecreateGroupOnPodRestart",
        ),
        leaderTemplate=_ANY,
        workerTemplate=_ANY,
    ),
    rolloutStrategy=_object(
        type=_choice("RollingUpdate", default="RollingUpdate"),
        rollingUpdateConfiguration=_object(partition=_count(0), maxUnavailable=_LIMIT, maxSurge=_LIMIT),
    ),
    networkConfig=_object(subdomainPolicy=_choice("Shared", "UniquePerReplica")),
)
_ROLE = _object(
    name={"type": "string", "default": ""},
    replicas=_count(1),
    upgradeOrder=_count(),
    podGroupSize=_count(minimum=1),
    stateful={"type": "boolean"},
    template=_ANY,
    updateStrategy=_object(maxUnavailable=_LIMIT, maxSurge=_LIMIT),
)
_ROLE_SET = _object(
    roles={"type": "array", "items": _ROLE},
    updateStrategy=_choice("Parallel", "Sequential", "Interleave", default="Sequential"),
)
_POD_SET = _object(
    ("podGroupSize", "template"),
    podGroupSize={"type": "integer", "format": "int32", "minimum": 2, "maximum": 100},
    template=_ANY,
    stateful={"type": "boolean"},
    recoveryPolicy=_choice("ReplaceUnhealthy", "Recreate", default="ReplaceUnhealthy"),
)
_STORM_SERVICE = _object(
    ("selector", "template"),
    replicas=_count(1),
    selector=_ANY,
    stateful={"type": "boolean"},
    paused={"type": "boolean"},
    template=_object(metadata=_ANY, spec=_ROLE_SET),
    updateStrategy=_object(type=_choice("RollingUpdate", "InPlaceUpdate"), maxUnavailable=_LIMIT, maxSurge=_LIMIT),
)
_WORKER_GROUP = _object(
    ("groupName", "template"),
    groupName={"type": "string"},
    replicas=_count(0),
    minReplicas=_count(0),
    maxReplicas=_count(2147483647),
    numOfHosts=_count(1),
    suspend={"type": "boolean"},
    template=_ANY,
)
_RAY_CLUSTER = _object(
    ("headGroupSpec",),
    suspend={"type": "boolean"},
    headGroupSpec=_object(("template",), template=_ANY),
    workerGroupSpecs={"type": "array", "items": _WORKER_GROUP},
)
_RAY_SERVICE = _object(serveConfigV2={"type": "string"}, rayClusterConfig=_RAY_CLUSTER)


def _definition(
    kind: str, group: str, version: str, spec: Schema, *, short: tuple[str, ...] = (), selector: str = ""
) -> dict[str, Any]:
    """Return a definition; `selector` is the status field of the scale subresource, which is absent without one."""
    plural = f"{kind.lower()}s"
    subresources: dict[str, Any] = {"status": {}}
    if selector:
        subresources["scale"] = {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": f".status.{selector}",
        }
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {**names, "shortNames": list(short)} if short else names,
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "subresources": subresources,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": _ANY}}},
                }
            ],
        },
    }


@cache
def group_definitions() -> dict[str, dict[str, Any]]:
    """Return the definitions by kind."""
    aibrix, ray = "orchestration.aibrix.ai", "ray.io"
    definitions = (
        _definition(
            "LeaderWorkerSet",
            "leaderworkerset.x-k8s.io",
            "v1",
            _LEADER_WORKER_SET,
            short=("lws",),
            selector="hpaPodSelector",
        ),
        _definition("StormService", aibrix, "v1alpha1", _STORM_SERVICE, selector="scalingTargetSelector"),
        _definition("RoleSet", aibrix, "v1alpha1", _ROLE_SET),
        _definition("PodSet", aibrix, "v1alpha1", _POD_SET),
        _definition("RayCluster", ray, "v1", _RAY_CLUSTER),
        _definition("RayService", ray, "v1", _RAY_SERVICE, short=("rayservice",)),
    )
    return {item["spec"]["names"]["kind"]: item for item in definitions}


NEEDED_WITH = {"StormService": ("RoleSet", "PodSet"), "RoleSet": ("PodSet",), "RayService": ("RayCluster",)}
"""Kinds whose objects the controller of another kind creates."""


def definitions_for(kinds: set[str]) -> list[dict[str, Any]]:
    """Return the definitions that a cluster with objects of these kinds has, in a fixed order."""
    needed = kinds | {other for kind in kinds for other in NEEDED_WITH.get(kind, ())}
    return [item for kind, item in group_definitions().items() if kind in needed]


def api_version(definition: dict[str, Any]) -> str:
    """Return `apiVersion` of the objects of a definition."""
    spec = definition["spec"]
    return f"{spec['group']}/{spec['versions'][0]['name']}"
