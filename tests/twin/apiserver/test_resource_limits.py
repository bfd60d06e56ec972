"""ResourceQuotas, LimitRanges and PriorityClasses at the API server.

Texts of refusals are those of a Kubernetes 1.36 (`tests/conformance_kubernetes`), further ones of its
source.
"""

from datetime import UTC, datetime
from typing import Any

import pytest

from formats.quantities import parse_quantity
from twin.apiserver import ApiError, Store
from twin.apiserver.storage.quotas import quantity_text


@pytest.fixture
def store() -> Store:
    return Store(lambda: datetime(2026, 1, 1, tzinfo=UTC), lambda: "xxxxx")


def a_pod(name: str = "web", **spec: Any) -> dict[str, Any]:
    container = {"name": "web", "image": "web:1", "resources": spec.pop("resources", {})}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"containers": [container], **spec}}


def quota(store: Store, name: str = "small", **spec: Any) -> None:
    store.create("resourcequotas", {"metadata": {"name": name, "namespace": "default"}, "spec": spec})


def limits(store: Store, **limit: Any) -> None:
    spec = {"limits": [{"type": "Container", **limit}]}
    store.create("limitranges", {"metadata": {"name": "limits", "namespace": "default"}, "spec": spec})


def refusal(store: Store, pod: dict[str, Any]) -> str:
    with pytest.raises(ApiError) as caught:
        store.create("pods", pod)
    assert (caught.value.code, caught.value.reason) == (403, "Forbidden")
    return caught.value.message.partition(" is forbidden: ")[2]


@pytest.mark.parametrize(
    ("hard", "resources", "message"),
    [
        ({"pods": "1"}, {}, "exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1"),
        (
            {"requests.nvidia.com/gpu": "1"},
            {"limits": {"nvidia.com/gpu": "1"}},
            "exceeded quota: small, requested: requests.nvidia.com/gpu=1, used: requests.nvidia.com/gpu=1, "
            "limited: requests.nvidia.com/gpu=1",
        ),
        (
            {"requests.memory": "3Gi", "requests.cpu": "9"},
            {"requests": {"memory": "2Gi", "cpu": "500m"}},
            "exceeded quota: small, requested: requests.memory=2Gi, used: requests.memory=2Gi, "
            "limited: requests.memory=3Gi",
        ),
        (
            {"count/pods": "1"},
            {},
            "exceeded quota: small, requested: count/pods=1, used: count/pods=1, limited: count/pods=1",
        ),
    ],
)
def test_a_quota_refuses_what_is_beyond_it(store: Store, hard: Any, resources: Any, message: str) -> None:
    quota(store, hard=hard)
    store.create("pods", a_pod("first", resources=resources))
    assert refusal(store, a_pod("second", resources=resources)) == message
    store.delete("pods", "default", "first", grace_period=0)
    store.create("pods", a_pod("second", resources=resources))


def test_a_quota_of_cpu_needs_requests(store: Store) -> None:
    quota(store, hard={"requests.cpu": "2", "limits.memory": "1Gi"})
    assert refusal(store, a_pod()) == "failed quota: small: must specify limits.memory for: web; requests.cpu for: web"


def test_finished_pods_and_other_namespaces_do_not_count(store: Store) -> None:
    quota(store, hard={"pods": "1"})
    store.create("pods", a_pod("job"))
    store.patch("pods", "default", "job", {"status": {"phase": "Succeeded"}}, subresource="status")
    store.create("pods", a_pod("next"))
    store.ensure_namespace("other")
    store.create("pods", {**a_pod(), "metadata": {"name": "web", "namespace": "other"}})


def test_a_quota_with_scopes_counts_the_pods_that_match_all_of_them(store: Store) -> None:
    quota(store, hard={"pods": "0"}, scopes=["BestEffort", "Terminating"])
    store.create("pods", a_pod())
    affine = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"namespaceSelector": {}}]}}
    with pytest.raises(ApiError, match="exceeded quota"):
        store.create("pods", a_pod("short", activeDeadlineSeconds=60))
    quota(store, "affine", hard={"pods": "0"}, scopes=["CrossNamespacePodAffinity"])
    with pytest.raises(ApiError, match="exceeded quota: affine"):
        store.create("pods", a_pod("affine", affinity=affine))


def test_a_limit_range_fills_in_requests_and_limits(store: Store) -> None:
    limits(store, default={"cpu": "1"}, defaultRequest={"cpu": "500m"}, max={"cpu": "2"})
    pod = store.create("pods", a_pod())
    assert pod["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "500m"}, "limits": {"cpu": "1"}}
    text = "LimitRanger plugin set: cpu request for container web; cpu limit for container web"
    assert pod["metadata"]["annotations"] == {"kubernetes.io/limit-ranger": text}
    own = store.create("pods", a_pod("own", resources={"limits": {"cpu": "2"}}))
    assert own["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "2"}
    assert "annotations" not in own["metadata"]


@pytest.mark.parametrize(
    ("limit", "resources", "message"),
    [
        ({"max": {"cpu": "2"}}, {"limits": {"cpu": "3"}}, "maximum cpu usage per Container is 2, but limit is 3"),
        (
            {"min": {"cpu": "100m"}},
            {"requests": {"cpu": "50m"}},
            "minimum cpu usage per Container is 100m, but request is 50m",
        ),
        (
            {"max": {"cpu": "2", "memory": "1Gi"}},
            {"limits": {"cpu": "3", "memory": "2Gi"}},
            "[maximum cpu usage per Container is 2, but limit is 3, "
            "maximum memory usage per Container is 1Gi, but limit is 2Gi]",
        ),
        ({"type": "Pod", "max": {"cpu": "1"}}, {}, "maximum cpu usage per Pod is 1. No limit is specified"),
    ],
)
def test_a_limit_range_refuses_what_is_beyond_it(store: Store, limit: Any, resources: Any, message: str) -> None:
    limits(store, **limit)
    assert refusal(store, a_pod(resources=resources)) == message


def test_a_pod_gets_the_priority_of_its_class(store: Store) -> None:
    assert refusal(store, a_pod(priorityClassName="high")) == "no PriorityClass with name high was found"
    store.create("priorityclasses.scheduling.k8s.io", {"metadata": {"name": "high"}, "value": 1000})
    assert store.create("pods", a_pod(priorityClassName="high"))["spec"]["priority"] == 1000
    low = {"metadata": {"name": "low"}, "value": 5, "globalDefault": True, "preemptionPolicy": "Never"}
    store.create("priorityclasses.scheduling.k8s.io", low)
    spec = store.create("pods", a_pod("other"))["spec"]
    assert (spec["priorityClassName"], spec["priority"], spec["preemptionPolicy"]) == ("low", 5, "Never")
    assert (
        store.create("pods", a_pod("dns", priorityClassName="system-node-critical"))["spec"]["priority"]
        == 2_000_001_000
    )


@pytest.mark.parametrize(
    ("amount", "like", "text"),
    [("2000m", "9", "2"), ("0.5", "2", "500m"), ("3Gi", "8Gi", "3Gi"), ("1536Mi", "8Gi", "1536Mi"), ("0", "1Gi", "0")],
)
def test_the_text_of_a_quantity(amount: str, like: str, text: str) -> None:
    assert quantity_text(parse_quantity(amount), like) == text


@pytest.mark.parametrize(
    ("resource", "body", "code"),
    [
        ("resourcequotas", {"spec": {"hard": {"pods": "ten"}}}, 422),
        ("resourcequotas", {"spec": {"hard": ["pods"]}}, 400),
        ("limitranges", {"spec": {"limits": [{"type": "Container", "max": {"cpu": "much"}}]}}, 422),
        ("limitranges", {"spec": {"limits": ["cpu"]}}, 400),
        ("priorityclasses.scheduling.k8s.io", {"value": "high"}, 400),
        ("pods", {"spec": "web"}, 400),
        ("pods", {"spec": {"containers": [1]}}, 400),
        ("pods", {"spec": {"containers": [{"name": "web", "image": "web:1", "resources": [1]}]}}, 400),
        ("pods", {"spec": {"priorityClassName": ["high"]}}, 400),
    ],
)
def test_an_object_with_wrong_types_or_amounts_is_refused_and_fails_no_plugin(
    store: Store, resource: str, body: dict[str, Any], code: int
) -> None:
    limits(store, max={"cpu": "1"})
    namespaced = {} if resource.startswith("priorityclasses") else {"namespace": "default"}
    with pytest.raises(ApiError) as caught:
        store.create(resource, {"metadata": {"name": "odd", **namespaced}, **body})
    assert caught.value.code == code


def test_a_pod_with_annotations_of_the_wrong_type_is_refused_where_a_limit_range_annotates_pods(store: Store) -> None:
    limits(store, max={"cpu": "1"})
    pod = a_pod()
    pod["metadata"]["annotations"] = "none"
    with pytest.raises(ApiError, match="must be a map of strings"):
        store.create("pods", pod)
