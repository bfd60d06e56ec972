"""Create, update, patch and the status subresource: results, counters and errors."""

from typing import Any

import pytest

from twin.apiserver import ApiError, Change, Store

ADAPTERS = "modeladapters.model.aibrix.ai"


def test_a_new_object_gets_the_fields_that_the_server_sets(store: Store, an_adapter: Any) -> None:
    created = store.create(ADAPTERS, an_adapter())
    meta = created["metadata"]
    assert created["apiVersion"] == "model.aibrix.ai/v1alpha1"
    assert meta["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert meta["generation"] == 1
    assert meta["resourceVersion"] == store.resource_version
    assert created["spec"]["schedulerName"] == "default"
    assert store.get(ADAPTERS, "default", "sql") is created


def test_two_objects_never_share_a_uid(store: Store, an_adapter: Any) -> None:
    first = store.create(ADAPTERS, an_adapter("a"))
    store.delete(ADAPTERS, "default", "a")
    second = store.create(ADAPTERS, an_adapter("a"))
    assert first["metadata"]["uid"] != second["metadata"]["uid"]


def test_a_generated_name_is_the_base_and_a_suffix(store: Store, a_config_map: Any) -> None:
    body = {"metadata": {"generateName": "run-", "namespace": "default"}}
    assert store.create("configmaps", body)["metadata"]["name"] == "run-00000"
    store.create("configmaps", a_config_map("run-00001"))
    assert store.create("configmaps", body)["metadata"]["name"] == "run-00002"


def test_a_dry_run_returns_the_object_and_stores_nothing(store: Store, changes: list[Change], an_adapter: Any) -> None:
    assert store.create(ADAPTERS, an_adapter(), dry_run=True)["spec"]["schedulerName"] == "default"
    assert changes == []
    assert store.list(ADAPTERS).items == []


@pytest.mark.parametrize(
    ("meta", "code", "message"),
    [
        ({"resourceVersion": "1"}, 400, "resourceVersion should not be set on objects to be created"),
        ({"namespace": "nowhere"}, 404, 'namespaces "nowhere" not found'),
        ({"name": "sql"}, 409, 'modeladapters.model.aibrix.ai "sql" already exists'),
        ({"name": ""}, 422, "metadata.name: Required value: name or generateName is required"),
        ({"name": "A_b"}, 422, "a lowercase RFC 1123 subdomain must consist of"),
    ],
)
def test_a_create_is_refused(store: Store, an_adapter: Any, meta: dict[str, str], code: int, message: str) -> None:
    store.create(ADAPTERS, an_adapter())
    with pytest.raises(ApiError) as refused:
        store.create(ADAPTERS, an_adapter("other", meta=meta))
    assert refused.value.code == code
    assert message in refused.value.message


def test_the_namespace_of_request_and_object_must_agree(store: Store, an_adapter: Any) -> None:
    with pytest.raises(ApiError, match="does not match the namespace sent on the request"):
        store.create(ADAPTERS, an_adapter(), namespace="kube-system")


def test_an_object_of_another_kind_is_refused(store: Store) -> None:
    with pytest.raises(ApiError, match="the object's kind is 'Secret'"):
        store.create("configmaps", {"kind": "Secret", "metadata": {"name": "x"}})


def test_generation_counts_only_changes_of_the_spec(store: Store, an_adapter: Any) -> None:
    store.create(ADAPTERS, an_adapter())

    def patched(body: Any, subresource: str = "") -> int:
        return store.patch(ADAPTERS, "default", "sql", body, subresource=subresource)["metadata"]["generation"]

    assert patched({"metadata": {"labels": {"a": "b"}}}) == 1
    assert patched({"status": {"candidates": 3}}, "status") == 1
    assert patched({"spec": {"replicas": 3}}) == 2


def test_a_write_without_changes_is_not_a_write(store: Store, changes: list[Change], an_adapter: Any) -> None:
    created = store.create(ADAPTERS, an_adapter())
    changes.clear()
    assert store.patch(ADAPTERS, "default", "sql", {"spec": {"schedulerName": "default"}}) is created
    assert store.update(ADAPTERS, created) is created
    assert changes == []


def test_a_status_patch_stores_status_and_drops_all_else(store: Store, an_adapter: Any) -> None:
    store.create(ADAPTERS, an_adapter())
    body = {"metadata": {"annotations": {"a": "b"}}, "spec": {"replicas": 9}, "status": {"phase": "Running"}}
    stored = store.patch(ADAPTERS, "default", "sql", body, subresource="status")
    assert stored["status"] == {"phase": "Running"}
    assert "annotations" not in stored["metadata"]
    assert "replicas" not in stored["spec"]


def test_a_patch_of_the_object_leaves_its_status_alone(store: Store, an_adapter: Any) -> None:
    store.create(ADAPTERS, {**an_adapter(), "status": {"phase": "Running"}})
    stored = store.patch(ADAPTERS, "default", "sql", {"status": {"phase": "Failed"}, "spec": {"replicas": 1}})
    assert "status" not in stored


def test_a_patch_with_an_old_resource_version_is_a_conflict(store: Store, an_adapter: Any) -> None:
    version = store.create(ADAPTERS, an_adapter())["metadata"]["resourceVersion"]
    body = {"metadata": {"resourceVersion": version, "annotations": {"n": "1"}}}
    store.patch(ADAPTERS, "default", "sql", body)
    with pytest.raises(ApiError) as refused:
        store.patch(ADAPTERS, "default", "sql", body)
    assert refused.value.status["reason"] == "Conflict"
    assert refused.value.message == (
        'Operation cannot be fulfilled on modeladapters.model.aibrix.ai "sql": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


def test_an_update_needs_the_current_resource_version(store: Store, an_adapter: Any) -> None:
    created = store.create(ADAPTERS, an_adapter())
    update = {**created, "spec": {**created["spec"], "replicas": 2}}
    assert store.update(ADAPTERS, update)["spec"]["replicas"] == 2
    with pytest.raises(ApiError, match="the object has been modified"):
        store.update(ADAPTERS, update)
    unversioned = {key: value for key, value in created["metadata"].items() if key != "resourceVersion"}
    with pytest.raises(ApiError, match="must be specified for an update"):
        store.update(ADAPTERS, {**created, "metadata": unversioned})


def test_server_fields_cannot_be_patched(store: Store, an_adapter: Any) -> None:
    created = store.create(ADAPTERS, an_adapter())
    body = {"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z", "generation": 7, "deletionTimestamp": "x"}}
    assert store.patch(ADAPTERS, "default", "sql", body) is created
    with pytest.raises(ApiError, match="Precondition failed: UID in precondition: x"):
        store.patch(ADAPTERS, "default", "sql", {"metadata": {"uid": "x"}})
    with pytest.raises(ApiError, match="does not match the name on the URL"):
        store.patch(ADAPTERS, "default", "sql", {"metadata": {"name": "other"}})


def test_a_strategic_patch_of_a_custom_resource_is_415(store: Store, an_adapter: Any) -> None:
    store.create(ADAPTERS, an_adapter())
    with pytest.raises(ApiError) as refused:
        store.patch(ADAPTERS, "default", "sql", {}, type="strategic")
    assert refused.value.code == 415


def test_unchanged_parts_are_shared_with_the_old_object(store: Store, an_adapter: Any) -> None:
    before = store.create(ADAPTERS, an_adapter())
    after = store.patch(ADAPTERS, "default", "sql", {"metadata": {"annotations": {"a": "b"}}})
    assert after["spec"] is before["spec"]
    assert "annotations" not in before["metadata"]


def test_subscribers_get_changes_in_order_even_if_one_of_them_writes(store: Store, a_config_map: Any) -> None:
    heard: list[str] = []

    def react(change: Change) -> None:
        if change.object["metadata"]["name"] == "first":
            store.create("configmaps", a_config_map("second"))

    store.subscribe(react, "configmaps")
    store.subscribe(lambda change: heard.append(change.object["metadata"]["name"]), "configmaps")
    store.create("configmaps", a_config_map("first"))
    assert heard == ["first", "second"]


def test_the_scale_of_an_adapter_is_its_replicas(store: Store, an_adapter: Any) -> None:
    store.create(ADAPTERS, an_adapter(replicas=2))
    store.patch(ADAPTERS, "default", "sql", {"status": {"readyReplicas": 1}}, subresource="status")
    scale = store.get(ADAPTERS, "default", "sql", subresource="scale")
    assert (scale["spec"], scale["status"]) == ({"replicas": 2}, {"replicas": 1})
    store.patch(ADAPTERS, "default", "sql", {"spec": {"replicas": 5}}, subresource="scale")
    assert store.get(ADAPTERS, "default", "sql")["spec"]["replicas"] == 5


def test_an_adapter_on_all_pods_has_no_scale_until_replicas_are_set(store: Store, an_adapter: Any) -> None:
    store.create(ADAPTERS, an_adapter())
    with pytest.raises(ApiError, match=r'the spec replicas field "\.spec\.replicas" does not exist'):
        store.get(ADAPTERS, "default", "sql", subresource="scale")
    assert store.patch(ADAPTERS, "default", "sql", {"spec": {"replicas": 1}}, subresource="scale")["spec"] == {
        "replicas": 1
    }


def test_an_unregistered_kind_is_404(store: Store) -> None:
    with pytest.raises(ApiError, match="no such kind has been registered"):
        store.list("widgets.example.com")


def test_an_unknown_subresource_is_404(store: Store, a_config_map: Any) -> None:
    store.create("configmaps", a_config_map("x"))
    with pytest.raises(ApiError, match="have no subresource 'status'"):
        store.patch("configmaps", "default", "x", {}, subresource="status")
