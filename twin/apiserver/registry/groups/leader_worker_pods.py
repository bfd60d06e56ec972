"""The admission webhook of LeaderWorkerSet for pods: labels and variables of a group's members.

Source: `Default` in `pkg/webhooks/pod_webhook.go` and `AddLWSVariables` in `pkg/utils/pod` of kubernetes-sigs/lws 0.9.
"""

import hashlib

from twin.apiserver.meta.errors import Object

_PREFIX = "leaderworkerset.sigs.k8s.io/"
SET_NAME = f"{_PREFIX}name"
GROUP_INDEX = f"{_PREFIX}group-index"
GROUP_KEY = f"{_PREFIX}group-key"
WORKER_INDEX = f"{_PREFIX}worker-index"
SIZE = f"{_PREFIX}size"
LEADER_NAME = f"{_PREFIX}leader-name"
_SUBDOMAIN = f"{_PREFIX}subdomainPolicy"


def with_group_identity(pod: Object) -> Object:
    """Return a new pod with the labels and variables of its group; other pods are returned as they are."""
    meta = pod["metadata"]
    labels = meta.get("labels") or {}
    size = (meta.get("annotations") or {}).get(SIZE)
    if SET_NAME not in labels or size is None:
        return pod
    _, _, ordinal = meta["name"].rpartition("-")
    spec = pod["spec"]
    if labels.get(WORKER_INDEX) == "0":
        group_key = hashlib.sha1(f"{meta['namespace']}/{meta['name']}".encode(), usedforsecurity=False).hexdigest()
        labels = {GROUP_INDEX: ordinal, GROUP_KEY: group_key, **labels}
        if _SUBDOMAIN in meta["annotations"]:
            spec = {**spec, "subdomain": meta["name"]}
    else:
        labels = {**labels, WORKER_INDEX: ordinal}
    leader = f"{labels[SET_NAME]}-{labels.get(GROUP_INDEX, '')}"
    address = f"{leader}.{spec.get('subdomain', '')}.{meta['namespace']}"
    variables = {"LWS_LEADER_ADDRESS": address, "LWS_GROUP_SIZE": size, "LWS_WORKER_INDEX": labels[WORKER_INDEX]}
    for field in ("containers", "initContainers"):
        if spec.get(field):
            spec = {**spec, field: [_with_variables(container, variables) for container in spec[field]]}
    return {**pod, "metadata": {**meta, "labels": labels}, "spec": spec}


def _with_variables(container: Object, variables: dict[str, str]) -> Object:
    own = [{"name": name, "value": value} for name, value in variables.items()]
    others = [item for item in container.get("env") or () if item.get("name") not in variables]
    return {**container, "env": [*own, *others]}
