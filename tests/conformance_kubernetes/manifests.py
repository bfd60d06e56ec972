"""Manifests that stories use; their pods run in the pool `general`."""

from typing import Any

from tests.conformance_kubernetes.api import Object

LABELS = {"app": "web"}


def template(image: str = "web:1", labels: Object | None = None, pool: str = "general", **spec: Any) -> Object:
    """Return a pod template with one container."""
    container = {"name": "web", "image": image, **spec.pop("container", {})}
    return {
        "metadata": {"labels": labels or LABELS},
        "spec": {"containers": [container], "nodeSelector": {"pool": pool}, **spec},
    }


def workload(kind: str, replicas: int | None = 3, pod: Object | None = None, name: str = "web", **spec: Any) -> Object:
    """Return a Deployment, ReplicaSet, StatefulSet (with the Service `web`) or DaemonSet (without `replicas`)."""
    body: Object = {"selector": {"matchLabels": LABELS}, "template": pod or template(), **spec}
    if replicas is not None:
        body["replicas"] = replicas
    if kind == "StatefulSet":
        body.setdefault("serviceName", "web")
    return {"kind": kind, "metadata": {"name": name, "labels": LABELS}, "spec": body}


def bare_pod(name: str, labels: Object | None = None, pool: str = "general", **spec: Any) -> Object:
    """Return a pod without an owner."""
    pod = template(labels=labels, pool=pool, **spec)
    return {"kind": "Pod", "metadata": {"name": name, **pod["metadata"]}, "spec": pod["spec"]}


def owned(manifest: Object, *owners: Object, block: bool = False) -> Object:
    """Return a manifest with owners: stored objects."""
    references = [
        {
            "apiVersion": owner["apiVersion"],
            "kind": owner["kind"],
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            **({"blockOwnerDeletion": True} if block else {}),
        }
        for owner in owners
    ]
    return {**manifest, "metadata": {**manifest["metadata"], "ownerReferences": references}}


def config_map(name: str, **metadata: Any) -> Object:
    return {"kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"key": "value"}}


def service(name: str = "web", **spec: Any) -> Object:
    """Return a Service of the pods `app=web`, port 80."""
    ports = [{"name": "http", "port": 80, "targetPort": 8000}]
    return {"kind": "Service", "metadata": {"name": name}, "spec": {"selector": LABELS, "ports": ports, **spec}}
