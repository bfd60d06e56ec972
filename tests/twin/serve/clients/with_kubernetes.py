"""The `kubernetes` package as its users use it: typed and custom objects, the dynamic client, watches, an informer."""

import threading

import pytest
from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.informer import SharedInformer

ADAPTER = {
    "apiVersion": "model.aibrix.ai/v1alpha1",
    "kind": "ModelAdapter",
    "metadata": {"name": "from-python"},
    "spec": {
        "baseModel": "qwen",
        "podSelector": {"matchLabels": {"model.aibrix.ai/name": "qwen"}},
        "artifactURL": "huggingface://acme/from-python",
    },
}
PLACE = ("model.aibrix.ai", "v1alpha1", "default", "modeladapters")


def typed() -> None:
    core = client.CoreV1Api()
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="settings"), data={"a": "b"})
    core.create_namespaced_config_map("default", body)
    core.patch_namespaced_config_map("settings", "default", {"data": {"c": "d"}})
    assert core.read_namespaced_config_map("settings", "default").data == {"a": "b", "c": "d"}
    assert {node.metadata.name for node in core.list_node().items} == {"node-0", "node-1"}
    with pytest.raises(ApiException) as refused:
        core.read_namespaced_pod("missing", "default")
    assert (refused.value.status, refused.value.reason) == (404, "Not Found")


def custom() -> None:
    api = client.CustomObjectsApi()
    api.create_namespaced_custom_object(*PLACE, ADAPTER)
    api.patch_namespaced_custom_object(*PLACE, "from-python", {"spec": {"replicas": 2}})
    assert api.get_namespaced_custom_object_scale(*PLACE, "from-python")["spec"]["replicas"] == 2
    seen = watch.Watch().stream(api.list_namespaced_custom_object, *PLACE, timeout_seconds=1)
    first = next(iter(seen))
    assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "from-python")


def dynamically() -> None:
    adapters = dynamic.DynamicClient(client.ApiClient()).resources.get(
        api_version="model.aibrix.ai/v1alpha1", kind="ModelAdapter"
    )
    wanted = {**ADAPTER, "metadata": {"name": "from-python"}, "spec": {**ADAPTER["spec"], "replicas": 3}}
    applied = adapters.server_side_apply(body=wanted, namespace="default", field_manager="me", force_conflicts=True)
    assert applied.spec.replicas == 3
    assert [each.metadata.name for each in adapters.get(namespace="default").items] == ["from-python"]
    adapters.delete(name="from-python", namespace="default")


def informed() -> None:
    core = client.CoreV1Api()
    informer = SharedInformer(core.list_namespaced_config_map, namespace="default")
    seen = threading.Event()
    informer.add_event_handler("ADDED", lambda obj: seen.set() if obj.metadata.name == "late" else None)
    informer.start()
    core.create_namespaced_config_map("default", client.V1ConfigMap(metadata=client.V1ObjectMeta(name="late")))
    assert seen.wait(20)  # its thread is a daemon: it ends with the process


if __name__ == "__main__":
    config.load_kube_config()
    for part in (typed, custom, dynamically, informed):
        part()
    print("all fine")
