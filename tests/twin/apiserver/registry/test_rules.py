"""Metadata, selectors and builtin kinds: defaults and errors of a real server."""

from typing import Any

import msgspec
import pytest

from twin.apiserver import ApiError, Store
from twin.apiserver.meta.selectors import label_selector, labels

A_CONTAINER = {"name": "c", "image": "vllm"}
LABELS = {"app": "qwen", "tier": "gpu", "example.com/zone": "a"}


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("app=qwen", True),
        ("app==qwen,tier=gpu", True),
        ("app!=qwen", False),
        ("other!=qwen", True),
        ("app in (a, qwen)", True),
        ("app notin (a,b), tier", True),
        ("!other", True),
        ("!app", False),
        ("example.com/zone in (a,b),tier notin (cpu)", True),
        ("app=", False),
        ("other=", False),
    ],
)
def test_a_label_selector(selector: str, matches: bool) -> None:
    assert labels(selector)(LABELS) is matches


@pytest.mark.parametrize("selector", ["app in a", "=a", "a b", "app=qwen,,tier", "a in (b"])
def test_an_invalid_selector_is_refused(selector: str) -> None:
    with pytest.raises(ApiError, match="unable to parse requirement"):
        labels(selector)


@pytest.mark.parametrize(
    ("operator", "values", "matches"),
    [("In", ["qwen"], True), ("NotIn", ["qwen"], False), ("Exists", None, True), ("DoesNotExist", None, False)],
)
def test_a_selector_object(operator: str, values: Any, matches: bool) -> None:
    expression = {"key": "app", "operator": operator, "values": values}
    assert label_selector({"matchExpressions": [expression], "matchLabels": {"tier": "gpu"}})(LABELS) is matches


LONG = "x" * 64


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        (
            {"annotations": {f"a.b/{LONG}": ""}},
            f'metadata.annotations: Invalid value: "a.b/{LONG}": name part must be no more than 63 bytes',
        ),
        ({"annotations": {"a/b/c": ""}}, "prefix part a lowercase RFC 1123 subdomain"),
        ({"annotations": {"a": "x" * 262144}}, "metadata.annotations: Too long: may not be more than 262144 bytes"),
        ({"annotations": {"a": 1}}, "must be a string"),
        ({"labels": {"a": LONG}}, f'metadata.labels: Invalid value: "{LONG}": must be no more than 63 bytes'),
        ({"labels": {"a": "org/model"}}, 'metadata.labels: Invalid value: "org/model": a valid label must be an empty'),
        ({"labels": {"": "x"}}, "name part must be non-empty"),
        ({"labels": {"/a": "x"}}, "prefix part must be non-empty"),
        ({"finalizers": ["no good"]}, "metadata.finalizers: Invalid value"),
        ({"ownerReferences": [{"kind": "X"}]}, 'metadata.ownerReferences.uid: Invalid value: "": must not be empty'),
    ],
)
def test_metadata_are_refused_on_create_and_on_patch(
    store: Store, a_config_map: Any, meta: dict[str, Any], message: str
) -> None:
    with pytest.raises(ApiError) as refused:
        store.create("configmaps", a_config_map(**meta))
    assert message in refused.value.message
    store.create("configmaps", a_config_map())
    with pytest.raises(ApiError) as refused:
        store.patch("configmaps", "default", "c", {"metadata": meta})
    assert message in refused.value.message


def test_only_one_owner_can_be_the_controller(store: Store, a_config_map: Any) -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": True}
    with pytest.raises(ApiError, match="Only one reference can have Controller set to true"):
        store.create("configmaps", a_config_map(ownerReferences=[owner, {**owner, "uid": "v"}]))


def a_service(name: str = "svc", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def test_a_service_gets_an_address_of_its_own_unless_it_is_headless(store: Store) -> None:
    addresses = [
        store.create("services", a_service(name, ports=[{"port": 80}]))["spec"]["clusterIP"] for name in ("a", "b")
    ]
    assert len(set(addresses)) == 2
    assert store.create("services", a_service("c", clusterIP="None"))["spec"]["clusterIP"] == "None"
    with pytest.raises(ApiError, match=r"spec\.clusterIP: Forbidden: field is immutable"):
        store.patch("services", "default", "c", {"spec": {"clusterIP": "10.0.0.1"}})


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("a.b", {"clusterIP": "None"}, "a lowercase RFC 1123 label must consist of"),
        ("svc", {}, "spec.ports: Required value"),
        ("svc", {"ports": [{"port": 0}]}, "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535"),
        ("svc", {"ports": [{"port": 1}, {"port": 2}]}, "spec.ports[0].name: Required value"),
        ("svc", {"ports": "80"}, "must be of type array"),
    ],
)
def test_a_service_is_refused(store: Store, name: str, spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError) as refused:
        store.create("services", a_service(name, **spec))
    assert message in refused.value.message


def test_plain_data_of_a_secret_is_encoded(store: Store) -> None:
    stored = store.create("secrets", {"metadata": {"name": "s"}, "stringData": {"key": "value"}})
    assert (stored["data"], stored["type"]) == ({"key": "dmFsdWU="}, "Opaque")
    assert "stringData" not in stored


def test_a_refused_secret_does_not_show_its_value(store: Store) -> None:
    with pytest.raises(ApiError, match="must be base64") as refused:
        store.create("secrets", {"metadata": {"name": "s"}, "data": {"key": "not base64!"}})
    assert "not base64!" not in str(refused.value.status)


def a_deployment(*, labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    container = {"name": "engine", "image": "vllm:latest", "readinessProbe": {"httpGet": {"port": 8000}}}
    template = {"metadata": {"labels": labels or {"app": "a"}}, "spec": {"containers": [container]}}
    body = {"selector": {"matchLabels": {"app": "a"}}, "template": template, **spec}
    return {"metadata": {"name": "d", "namespace": "default"}, "spec": body}


def test_a_deployment_gets_its_defaults(store: Store) -> None:
    spec = store.create("deployments.apps", a_deployment())["spec"]
    assert spec["replicas"] == 1
    assert spec["progressDeadlineSeconds"] == 600
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}
    pod = spec["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 30
    assert pod["containers"][0]["readinessProbe"] == {
        "httpGet": {"path": "/", "scheme": "HTTP", "port": 8000},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (
            a_deployment(labels={"app": "b"}),
            422,
            'spec.template.metadata.labels: Invalid value: {"app":"b"}: `selector` does not match template `labels`',
        ),
        (a_deployment(selector=None), 422, "spec.selector: Required value"),
        (a_deployment(selector={}), 422, "spec.selector: Required value"),
        (a_deployment(replicas=-1), 422, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
        (
            a_deployment(replicas="3"),
            400,
            'Deployment in version "v1" cannot be handled as a Deployment: spec.replicas',
        ),
        (a_deployment(template={"metadata": {"labels": {"app": "a"}}}), 422, "spec.template.spec.containers: Required"),
    ],
)
def test_a_deployment_is_refused(store: Store, body: dict[str, Any], code: int, message: str) -> None:
    with pytest.raises(ApiError) as refused:
        store.create("deployments.apps", body)
    assert refused.value.code == code
    assert message in refused.value.message


def test_the_selector_of_a_deployment_never_changes(store: Store) -> None:
    store.create("deployments.apps", a_deployment(labels={"app": "a", "b": "c"}))
    with pytest.raises(ApiError, match=r"spec\.selector: Invalid value: .*: field is immutable"):
        store.patch("deployments.apps", "default", "d", {"spec": {"selector": {"matchLabels": {"b": "c"}}}})


def test_a_pod_starts_pending_and_is_bound_once(store: Store, a_pod: Any) -> None:
    assert store.create("pods", a_pod())["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    bound = store.patch("pods", "default", "qwen-0", {"spec": {"nodeName": "n1"}})
    assert bound["spec"]["nodeName"] == "n1"
    with pytest.raises(ApiError, match=r'spec\.nodeName: Invalid value: "n2": field is immutable'):
        store.patch("pods", "default", "qwen-0", {"spec": {"nodeName": "n2"}})


def test_only_the_image_and_a_few_fields_of_a_pod_are_mutable(store: Store, a_pod: Any) -> None:
    store.create("pods", a_pod())
    container = {"name": "engine", "image": "vllm/vllm-openai:v2"}
    changed = store.patch("pods", "default", "qwen-0", {"spec": {"containers": [container]}}, type="strategic")
    assert changed["spec"]["containers"][0]["image"] == "vllm/vllm-openai:v2"
    with pytest.raises(ApiError, match="pod updates may not change fields other than"):
        store.patch("pods", "default", "qwen-0", {"spec": {"hostNetwork": True}})


def test_a_node_keeps_the_status_that_it_is_created_with(store: Store) -> None:
    node = {"metadata": {"name": "n1"}, "status": {"allocatable": {"nvidia.com/gpu": "4"}}}
    assert store.create("nodes", node)["status"] == node["status"]


def test_a_cluster_scoped_object_refuses_a_namespace(store: Store) -> None:
    with pytest.raises(ApiError, match="nodes have no namespace"):
        store.create("nodes", {"metadata": {"name": "n"}}, namespace="default")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "addressType: Required value"),
        ({"addressType": "ipv4"}, "addressType: Unsupported value"),
        ({"addressType": "IPv4", "endpoints": [{"addresses": []}]}, "must contain at least 1 address"),
        ({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}] * 1001}, "must have at most 1000 items"),
    ],
)
def test_an_endpoint_slice_is_refused(store: Store, body: dict[str, Any], message: str) -> None:
    with pytest.raises(ApiError) as refused:
        store.create("endpointslices.discovery.k8s.io", {"metadata": {"name": "s"}, **body})
    assert message in refused.value.message


def test_a_namespace_is_labelled_with_its_name(store: Store) -> None:
    created = store.create("namespaces", {"metadata": {"name": "team"}})
    assert created["metadata"]["labels"] == {"kubernetes.io/metadata.name": "team"}
    with pytest.raises(ApiError, match="RFC 1123 label"):
        store.create("namespaces", {"metadata": {"name": "a.b"}})


@pytest.mark.parametrize(
    ("resource", "body"),
    [
        ("deployments.apps", a_deployment()),
        ("services", a_service(ports=[{"port": 80}])),
        ("secrets", {"metadata": {"name": "s", "namespace": "default"}, "stringData": {"key": "value"}}),
        ("namespaces", {"metadata": {"name": "team"}}),
        ("nodes", {"metadata": {"name": "n1"}, "spec": {"taints": []}}),
        (
            "pods",
            {
                "metadata": {"name": "p", "namespace": "default"},
                "spec": {"containers": [{"name": "c", "image": "vllm"}]},
            },
        ),
    ],
)
def test_an_update_with_the_read_object_changes_nothing(store: Store, resource: str, body: dict[str, Any]) -> None:
    created = store.create(resource, body)
    read = msgspec.json.decode(msgspec.json.encode(created))
    assert store.update(resource, read) is created
    assert store.patch(resource, created["metadata"].get("namespace", ""), created["metadata"]["name"], read) is created


@pytest.mark.parametrize(
    ("resource", "spec"),
    [
        ("nodes", {"taints": [None]}),
        ("pods", {"containers": [None]}),
        ("pods", {"containers": [A_CONTAINER], "initContainers": [None]}),
        ("pods", {"containers": [A_CONTAINER | {"ports": [None]}]}),
        ("pods", {"containers": [A_CONTAINER], "tolerations": [None]}),
    ],
)
def test_a_list_of_objects_with_a_null_is_refused(store: Store, resource: str, spec: dict[str, Any]) -> None:
    namespaced = {"namespace": "default"} if resource == "pods" else {}
    with pytest.raises(ApiError, match='Invalid value: "null"'):
        store.create(resource, {"metadata": {"name": "odd", **namespaced}, "spec": spec})
