"""Manifests of the captured objects, without server-side fields and without secrets.

Neither Secrets nor ConfigMaps are read. Where a pod or an adapter refers to one, a placeholder with the keys that are
referred to takes its place. API keys in command lines, variables and adapters become pseudonyms, the same for the same
key.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from twin.capture.accessors import workload_of
from twin.capture.client import ADAPTERS, DEPLOYMENTS, PODS, SERVICES, STATEFUL_SETS, Object
from twin.capture.watcher import Observation
from twin.scenario.manifests.secrets import SecretRedactor, secrets_of
from twin.world.kubelet.pod_spec import command_of, is_operator

ENABLED = "adapter.model.aibrix.ai/enabled"
_KEPT = ("name", "namespace", "labels", "annotations")
_SERVER_ANNOTATIONS = ("kubectl.kubernetes.io/", "deployment.kubernetes.io/", "adapter.model.aibrix.ai/", "lora-twin/")
"""Prefixes of annotations that controllers write, not users."""
PLACEHOLDER = "captured-without-its-contents"


def strip_server_fields(item: Object) -> Object:
    """Return the manifest that a user would have applied."""
    metadata = {name: item["metadata"][name] for name in _KEPT if item["metadata"].get(name)}
    own = metadata.get("annotations", {})
    kept = {name: text for name, text in own.items() if not name.startswith(_SERVER_ANNOTATIONS)}
    metadata = {name: value for name, value in metadata.items() if name != "annotations"}
    if kept:
        metadata["annotations"] = kept
    rest = {name: value for name, value in item.items() if name not in ("metadata", "status")}
    assigned = ("nodeName", "clusterIP", "clusterIPs")
    rest["spec"] = {name: value for name, value in rest["spec"].items() if name not in assigned}
    return {"apiVersion": rest.pop("apiVersion"), "kind": rest.pop("kind"), "metadata": metadata, **rest}


def captured_objects(observation: Observation) -> tuple[list[Object], list[str]]:
    """Return the initial engines, Services and adapters, and notes on what was ignored."""
    adapters = observation.first.get(ADAPTERS.kind, [])
    later = [c.object for c in observation.changes if c.kind == ADAPTERS.kind and c.type == "ADDED"]
    workloads = [item for kind in (DEPLOYMENTS, STATEFUL_SETS) for item in observation.first.get(kind.kind, [])]
    engines = [item for item in workloads if _hosts(_template(item), [*adapters, *later])]
    pods = [item for item in observation.first.get(PODS.kind, []) if _hosts(item, [*adapters, *later])]
    alone = [pod for pod in pods if not pod["metadata"].get("ownerReferences")]
    owners = {f"{item['metadata'].get('namespace')}/{item['metadata']['name']}" for item in engines}
    others = {
        f"{pod['metadata'].get('namespace')}/{workload_of(pod)}"
        for pod in pods
        if pod["metadata"].get("ownerReferences")
    }
    notes = [
        f"ignored {owner}: it owns pods and is neither a Deployment nor a StatefulSet"
        for owner in sorted(others - owners)
    ]
    labels = [_labels(_template(item)) for item in engines] + [_labels(pod) for pod in alone]
    services = [item for item in observation.first.get(SERVICES.kind, []) if _serves(item, labels)]
    kept = [item for item in (*engines, *alone, *services, *adapters) if "deletionTimestamp" not in item["metadata"]]
    return [strip_server_fields(item) for item in kept], notes


def operator_args(observation: Observation) -> tuple[list[str], Mapping[str, str]] | None:
    """Return the operator's arguments and environment; None if no Deployment of `lora-controller` was captured."""
    for item in observation.first.get(DEPLOYMENTS.kind, []):
        containers = item["spec"]["template"]["spec"].get("containers") or []
        if is_operator(containers):
            container = next(item for item in containers if command_of(item)[:1] == ["lora-controller"])
            variables = {item["name"]: item["value"] for item in container.get("env") or () if "value" in item}
            return command_of(container)[1:], variables
    return None


def placeholder_secrets(objects: Sequence[Object], templates: Sequence[Object]) -> Iterator[Object]:
    """Return placeholders for the Secrets and ConfigMaps that objects refer to."""
    references: dict[tuple[str, str, str], set[str]] = {}
    for item in (*objects, *templates):
        namespace = item["metadata"].get("namespace", "default")
        for kind, name, key in _references(item):
            keys = references.setdefault((kind, namespace, name), set())
            if key:
                keys.add(key)
    for (kind, namespace, name), keys in sorted(references.items()):
        yield {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace},
            "stringData" if kind == "Secret" else "data": dict.fromkeys(sorted(keys or {"unknown"}), PLACEHOLDER),
        }


def redact_secrets(objects: Iterable[Object]) -> list[Object]:
    """Return the objects with pseudonyms in place of API keys."""
    items, secrets = list(objects), SecretRedactor()
    secrets.register([text for item in items for text in secrets_of(item) if text != PLACEHOLDER])
    return [secrets.manifest(item) for item in items]


def _references(value: Any) -> Iterator[tuple[str, str, str]]:
    """Yield kind, name and key of every reference in an object."""
    kinds = {
        "secretKeyRef": "Secret",
        "secretRef": "Secret",
        "configMapKeyRef": "ConfigMap",
        "configMapRef": "ConfigMap",
        "credentialsSecretRef": "Secret",
        "apiKeySecretRef": "Secret",
    }
    if isinstance(value, dict):
        for name, item in value.items():
            if name in kinds and isinstance(item, dict) and item.get("name") and not item.get("optional"):
                yield kinds[name], str(item["name"]), str(item.get("key", ""))
            else:
                yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _template(item: Object) -> Object:
    template: Object = item["spec"]["template"]
    return {**template, "metadata": {**(template.get("metadata") or {}), "namespace": item["metadata"]["namespace"]}}


def _labels(pod: Object) -> dict[str, str]:
    return dict(pod["metadata"].get("labels") or {})


def _hosts(pod: Object, adapters: Sequence[Object]) -> bool:
    """Return True if adapters can be loaded on a pod, according to its labels."""
    labels = _labels(pod)
    return labels.get(ENABLED) == "true" or any(
        adapter["metadata"]["namespace"] == pod["metadata"].get("namespace")
        and (selector := (adapter["spec"].get("podSelector") or {}).get("matchLabels"))
        and selector.items() <= labels.items()
        for adapter in adapters
    )


def _serves(service: Object, labels: Sequence[Mapping[str, str]]) -> bool:
    selector = service["spec"].get("selector") or {}
    return bool(selector) and any(selector.items() <= pod.items() for pod in labels)
