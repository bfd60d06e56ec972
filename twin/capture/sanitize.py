"""Manifests of what stood in a cluster: without what the server adds, and without a secret in them.

Secrets are never read, and neither are ConfigMaps: where pods or adapters name one, an empty stand-in with the keys
that they name takes its place. Keys in command lines, variables and adapters become pseudonyms, the same for the same
key.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from twin.capture.accessors import workload_of
from twin.capture.client import ADAPTERS, DEPLOYMENTS, PODS, SERVICES, Object
from twin.capture.watcher import Observation
from twin.scenario.manifests.secrets import SecretRedactor, secrets_of
from twin.world.kubelet.pod_spec import command_of, is_operator

ENABLED = "adapter.model.aibrix.ai/enabled"
_KEPT = ("name", "namespace", "labels", "annotations")
_SERVERS_OWN = ("kubectl.kubernetes.io/", "deployment.kubernetes.io/", "adapter.model.aibrix.ai/", "lora-twin/")
"""Annotations that say what somebody did, and not what somebody wants."""
STAND_IN = "captured-without-its-contents"


def strip_server_fields(item: Object) -> Object:
    """What a user would have applied."""
    metadata = {name: item["metadata"][name] for name in _KEPT if item["metadata"].get(name)}
    own = metadata.get("annotations", {})
    kept = {name: text for name, text in own.items() if not name.startswith(_SERVERS_OWN)}
    metadata = {name: value for name, value in metadata.items() if name != "annotations"}
    if kept:
        metadata["annotations"] = kept
    rest = {name: value for name, value in item.items() if name not in ("metadata", "status")}
    given = ("nodeName", "clusterIP", "clusterIPs")
    rest["spec"] = {name: value for name, value in rest["spec"].items() if name not in given}
    return {"apiVersion": rest.pop("apiVersion"), "kind": rest.pop("kind"), "metadata": metadata, **rest}


def captured_objects(seen: Observation) -> tuple[list[Object], list[str]]:
    """The engines, their Services and the adapters that were there; and notes on what was left out."""
    adapters = seen.first.get(ADAPTERS.kind, [])
    later = [c.object for c in seen.changes if c.kind == ADAPTERS.kind and c.type == "ADDED"]
    engines = [item for item in seen.first.get(DEPLOYMENTS.kind, []) if _hosts(_template(item), [*adapters, *later])]
    pods = [item for item in seen.first.get(PODS.kind, []) if _hosts(item, [*adapters, *later])]
    alone = [pod for pod in pods if not pod["metadata"].get("ownerReferences")]
    made = {f"{item['metadata'].get('namespace')}/{item['metadata']['name']}" for item in engines}
    others = {
        f"{pod['metadata'].get('namespace')}/{workload_of(pod)}"
        for pod in pods
        if pod["metadata"].get("ownerReferences")
    }
    notes = [f"{place} makes pods and is no Deployment: it is left out" for place in sorted(others - made)]
    labels = [_labels(_template(item)) for item in engines] + [_labels(pod) for pod in alone]
    services = [item for item in seen.first.get(SERVICES.kind, []) if _serves(item, labels)]
    kept = [item for item in (*engines, *alone, *services, *adapters) if "deletionTimestamp" not in item["metadata"]]
    return [strip_server_fields(item) for item in kept], notes


def operator_args(seen: Observation) -> tuple[list[str], Mapping[str, str]] | None:
    """The operator's arguments and environment; None if it is not among what was seen, or another operator."""
    for item in seen.first.get(DEPLOYMENTS.kind, []):
        containers = item["spec"]["template"]["spec"].get("containers") or []
        if is_operator(containers):
            container = next(each for each in containers if command_of(each)[:1] == ["lora-controller"])
            variables = {each["name"]: each["value"] for each in container.get("env") or () if "value" in each}
            return command_of(container)[1:], variables
    return None


def placeholder_secrets(objects: Sequence[Object], templates: Sequence[Object]) -> Iterator[Object]:
    """Secrets and ConfigMaps that something names, with nothing in them."""
    named: dict[tuple[str, str, str], set[str]] = {}
    for item in (*objects, *templates):
        namespace = item["metadata"].get("namespace", "default")
        for kind, name, its_key in _references(item):
            keys = named.setdefault((kind, namespace, name), set())
            if its_key:
                keys.add(its_key)
    for (kind, namespace, name), keys in sorted(named.items()):
        yield {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace},
            "stringData" if kind == "Secret" else "data": dict.fromkeys(sorted(keys or {"unknown"}), STAND_IN),
        }


def redact_secrets(objects: Iterable[Object]) -> list[Object]:
    """All of them with pseudonyms for whatever is a key."""
    found, secrets = list(objects), SecretRedactor()
    secrets.learn([text for item in found for text in secrets_of(item) if text != STAND_IN])
    return [secrets.manifest(item) for item in found]


def _references(value: Any) -> Iterator[tuple[str, str, str]]:
    """Kind, name and key of what an object names, wherever it stands."""
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
    """Whether adapters may be loaded there, as far as labels say."""
    labels = _labels(pod)
    return labels.get(ENABLED) == "true" or any(
        adapter["metadata"]["namespace"] == pod["metadata"].get("namespace")
        and (wanted := (adapter["spec"].get("podSelector") or {}).get("matchLabels"))
        and wanted.items() <= labels.items()
        for adapter in adapters
    )


def _serves(service: Object, labels: Sequence[Mapping[str, str]]) -> bool:
    wanted = service["spec"].get("selector") or {}
    return bool(wanted) and any(wanted.items() <= each.items() for each in labels)
