"""Reasons for which `twin check` ignores an object: its kind is not simulated."""

from collections.abc import Mapping

from twin.scenario.manifests.sources import pointer_advice

_ROUTES = "requests reach the pods without it"
_SCALES = "replicas stay as the manifests have them; an adapter's own `spec.autoscaling` is simulated"
_KSERVE = "its pods are not simulated; list the Deployments that KServe makes of it (`kubectl get deployment -o yaml`)"
_STORAGE = "volumes are not simulated, pods do not wait for them"
_ACCESS = "access rights are not simulated in `twin run`; `twin serve` checks them"
_MEASURED = "metrics are not collected from pods"
_WEBHOOKS = "no webhook is called in `twin run`; `twin serve` calls those that a client registers"
_GROUPS: Mapping[str, str] = {
    "serving.kserve.io": _KSERVE,
    "gateway.networking.k8s.io": _ROUTES,
    "inference.networking.k8s.io": _ROUTES,
    "inference.networking.x-k8s.io": _ROUTES,
    "networking.istio.io": _ROUTES,
    "keda.sh": _SCALES,
    "autoscaling.aibrix.ai": _SCALES,
    "monitoring.coreos.com": _MEASURED,
    "rbac.authorization.k8s.io": _ACCESS,
    "storage.k8s.io": _STORAGE,
}
_KINDS: Mapping[str, str] = {
    "VerticalPodAutoscaler": "requests of pods stay as the manifests have them",
    "Ingress": _ROUTES,
    "MutatingWebhookConfiguration": _WEBHOOKS,
    "ValidatingWebhookConfiguration": _WEBHOOKS,
    "NetworkPolicy": "all traffic is allowed",
    "PersistentVolume": _STORAGE,
    "RayClusterFleet": "its pods are not simulated; write one RayCluster for each replica",
    "RayClusterReplicaSet": "its pods are not simulated; write one RayCluster for each replica",
    "RayJob": "its pods are not simulated",
    "DisaggregatedSet": "its pods are not simulated; list the LeaderWorkerSets that it creates",
    "CronJob": "its pods are not simulated",
    "ReplicationController": "its pods are not simulated; use a Deployment",
}


def reason_ignored(api_version: str, kind: str, name: str) -> str:
    """Return why an object is ignored, and what that means for the run."""
    if advice := pointer_advice(api_version, kind, name):
        return advice
    reason = _KINDS.get(kind) or _GROUPS.get(api_version.rpartition("/")[0])
    return f"{kind} is not simulated: {reason}" if reason else f"{kind} is not simulated"
