"""A third-party operator: kopf with a handler that creates an owned ConfigMap for each new ModelAdapter."""

import kopf
from kubernetes import client, config


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: object) -> None:
    settings.posting.enabled = True
    config.load_kube_config()


@kopf.on.create("model.aibrix.ai", "v1alpha1", "modeladapters")
def created(name: str, namespace: str, spec: kopf.Spec, **_: object) -> dict[str, str]:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"card-{name}"},
        "data": {"base": spec["baseModel"]},
    }
    kopf.adopt(body)
    client.CoreV1Api().create_namespaced_config_map(namespace, body)
    return {"card": f"card-{name}"}
