"""The builtin kinds, and those of their rules that matter for serving models.

Only a part of Kubernetes' validation is here: scheduling, rollouts, probes, discovery, and common errors in manifests
that this project reads. Unknown fields are kept; requests over HTTP lose them earlier (`codec/known_fields.py`).
Sources: `pkg/apis/*/v1/defaults.go`, `pkg/apis/*/validation` and `pkg/registry` of k8s.io/kubernetes.
"""

from twin.apiserver.meta.errors import FieldError, Object, invalid, required, unsupported
from twin.apiserver.registry import crd
from twin.apiserver.registry.admission_kinds import admission_kinds
from twin.apiserver.registry.autoscaling import autoscaling_kinds
from twin.apiserver.registry.configmaps import admit_config_map, admit_secret
from twin.apiserver.registry.controllers import admit_daemon_set, admit_job, admit_stateful_set
from twin.apiserver.registry.coordination import admit_endpoint_slice, admit_event, admit_lease
from twin.apiserver.registry.resource_limits import resource_limit_kinds
from twin.apiserver.registry.services import ServiceRules
from twin.apiserver.registry.workloads import admit_deployment, admit_pod, admit_replica_set, int_or_percent_errors
from twin.apiserver.schema import builtin_types, merge_types, metadata
from twin.apiserver.schema.resource_types import ResourceType, ScalePaths

_TAINT_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")


def builtin_kinds() -> list[ResourceType]:
    """Return the kinds of a new server; each call has its own range of Service addresses."""
    return [
        *_core_kinds(),
        *_config_kinds(),
        *_controller_kinds(),
        *_workload_kinds(),
        *_identity_workload_kinds(),
        *_policy_kinds(),
        *admission_kinds(),
        *resource_limit_kinds(),
        *autoscaling_kinds(),
    ]


def _core_kinds() -> list[ResourceType]:
    """Return namespaces, pods and Services."""
    return [
        ResourceType(
            "namespaces",
            "Namespace",
            types=builtin_types.PLAIN,
            namespaced=False,
            short_names=("ns",),
            status=True,
            finalize=True,
            name_rule=metadata.dns_label,
            admit=_admit_namespace,
        ),
        ResourceType(
            "pods",
            "Pod",
            types=builtin_types.POD,
            categories=("all",),
            short_names=("po",),
            status=True,
            generation=True,
            binding=True,
            admit=admit_pod,
            merge_type=merge_types.POD,
        ),
        ResourceType(
            "services",
            "Service",
            types=builtin_types.SERVICE,
            categories=("all",),
            short_names=("svc",),
            status=True,
            name_rule=metadata.dns_label,
            admit=ServiceRules().admit,
            merge_type=merge_types.SERVICE,
        ),
    ]


def _config_kinds() -> list[ResourceType]:
    """Return the other kinds of the core group."""
    return [
        ResourceType("secrets", "Secret", types=builtin_types.SECRET, admit=admit_secret),
        ResourceType(
            "configmaps", "ConfigMap", types=builtin_types.CONFIG_MAP, short_names=("cm",), admit=admit_config_map
        ),
        ResourceType("serviceaccounts", "ServiceAccount", short_names=("sa",)),
        ResourceType(
            "persistentvolumeclaims",
            "PersistentVolumeClaim",
            types=builtin_types.PLAIN,
            short_names=("pvc",),
            status=True,
        ),
        ResourceType(
            "nodes",
            "Node",
            types=builtin_types.NODE,
            namespaced=False,
            short_names=("no",),
            status=True,
            keeps_status_on_create=True,
            merge_type=merge_types.NODE,
            admit=_admit_node,
        ),
    ]


def _controller_kinds() -> list[ResourceType]:
    """Return the kinds that controllers write besides their own."""
    return [
        ResourceType(
            "events",
            "Event",
            types=builtin_types.EVENT,
            group="events.k8s.io",
            short_names=("ev",),
            merge_type=merge_types.EVENT,
            admit=admit_event,
        ),
        ResourceType(
            "endpointslices",
            "EndpointSlice",
            types=builtin_types.ENDPOINT_SLICE,
            group="discovery.k8s.io",
            generation=True,
            admit=admit_endpoint_slice,
        ),
        ResourceType(
            "leases",
            "Lease",
            types=builtin_types.LEASE,
            group="coordination.k8s.io",
            unconditional_update=False,
            admit=admit_lease,
        ),
    ]


def _workload_kinds() -> list[ResourceType]:
    """Return Deployments, ReplicaSets and CustomResourceDefinitions."""
    workload = ScalePaths(selector=("spec", "selector"))
    return [
        ResourceType(
            "deployments",
            "Deployment",
            types=builtin_types.WORKLOAD,
            group="apps",
            categories=("all",),
            short_names=("deploy",),
            status=True,
            scale=workload,
            generation=True,
            admit=admit_deployment,
            merge_type=merge_types.WORKLOAD,
        ),
        ResourceType(
            "replicasets",
            "ReplicaSet",
            types=builtin_types.WORKLOAD,
            group="apps",
            categories=("all",),
            short_names=("rs",),
            status=True,
            scale=workload,
            generation=True,
            admit=admit_replica_set,
            merge_type=merge_types.WORKLOAD,
        ),
        ResourceType(
            "customresourcedefinitions",
            "CustomResourceDefinition",
            types=builtin_types.DEFINITION,
            group="apiextensions.k8s.io",
            namespaced=False,
            short_names=("crd", "crds"),
            status=True,
            generation=True,
            admit=_admit_definition,
        ),
    ]


def _identity_workload_kinds() -> list[ResourceType]:
    """Return StatefulSets, DaemonSets and Jobs, and the revisions of the first two."""
    return [
        ResourceType(
            "statefulsets",
            "StatefulSet",
            types=builtin_types.WORKLOAD,
            group="apps",
            categories=("all",),
            short_names=("sts",),
            status=True,
            scale=ScalePaths(selector=("spec", "selector")),
            generation=True,
            admit=admit_stateful_set,
            merge_type=merge_types.WORKLOAD,
        ),
        ResourceType(
            "daemonsets",
            "DaemonSet",
            types=builtin_types.WORKLOAD,
            group="apps",
            categories=("all",),
            short_names=("ds",),
            status=True,
            generation=True,
            admit=admit_daemon_set,
            merge_type=merge_types.WORKLOAD,
        ),
        ResourceType("controllerrevisions", "ControllerRevision", group="apps"),
        ResourceType(
            "jobs",
            "Job",
            types=builtin_types.WORKLOAD,
            group="batch",
            categories=("all",),
            status=True,
            generation=True,
            admit=admit_job,
            merge_type=merge_types.WORKLOAD,
        ),
    ]


def _policy_kinds() -> list[ResourceType]:
    """Return the kinds of the policy APIs; `rest/auth/rbac.py` reads the first four, the others are only stored."""
    rbac = "rbac.authorization.k8s.io"
    return [
        ResourceType("roles", "Role", group=rbac, name_rule=metadata.path_segment),
        ResourceType("rolebindings", "RoleBinding", group=rbac, name_rule=metadata.path_segment, admit=_admit_binding),
        ResourceType("clusterroles", "ClusterRole", group=rbac, namespaced=False, name_rule=metadata.path_segment),
        ResourceType(
            "clusterrolebindings",
            "ClusterRoleBinding",
            group=rbac,
            namespaced=False,
            name_rule=metadata.path_segment,
            admit=_admit_binding,
        ),
        ResourceType(
            "poddisruptionbudgets",
            "PodDisruptionBudget",
            group="policy",
            short_names=("pdb",),
            status=True,
            generation=True,
            types=builtin_types.BUDGET,
            admit=_admit_budget,
        ),
        ResourceType(
            "networkpolicies", "NetworkPolicy", group="networking.k8s.io", short_names=("netpol",), generation=True
        ),
    ]


def _admit_binding(new: Object, old: Object | None, errors: list[FieldError]) -> Object:
    reference = new.get("roleRef") or {}
    if not reference.get("name"):
        errors.append(required("roleRef.name"))
    if old is not None and reference != old.get("roleRef"):
        errors.append(invalid("roleRef", reference, "cannot change roleRef"))
    return new


def _admit_namespace(new: Object, old: Object | None, errors: list[FieldError]) -> Object:  # noqa: ARG001
    name = new["metadata"]["name"]
    labels = {**new["metadata"].get("labels", {}), "kubernetes.io/metadata.name": name}
    new = {**new, "metadata": {**new["metadata"], "labels": labels}}
    if old is not None:
        return new
    finalizers = dict.fromkeys([*((new.get("spec") or {}).get("finalizers") or ()), "kubernetes"])
    return {**new, "spec": {"finalizers": list(finalizers)}, "status": {"phase": "Active"}}


def _admit_node(new: Object, old: Object | None, errors: list[FieldError]) -> Object:  # noqa: ARG001
    for index, taint in enumerate((new.get("spec") or {}).get("taints") or ()):
        field = f"spec.taints[{index}]"
        if not taint.get("key"):
            errors.append(required(f"{field}.key"))
        if taint.get("effect") not in _TAINT_EFFECTS:
            errors.append(unsupported(f"{field}.effect", taint.get("effect") or "", _TAINT_EFFECTS))
    return {**new, "spec": new.get("spec") or {}, "status": new.get("status") or {}}


def _admit_definition(new: Object, old: Object | None, errors: list[FieldError]) -> Object:
    if old is not None and new.get("spec") is old.get("spec"):
        return new
    crd.check_definition(new, errors)
    return new if errors else crd.with_established_status(new, new["metadata"]["creationTimestamp"])


def _admit_budget(new: Object, old: Object | None, errors: list[FieldError]) -> Object:  # noqa: ARG001
    spec = new.get("spec") or {}
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        errors.append(invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set"))
    limits = [name for name in ("minAvailable", "maxUnavailable") if spec.get(name) is not None]
    errors += int_or_percent_errors("spec", spec, limits)
    return new
