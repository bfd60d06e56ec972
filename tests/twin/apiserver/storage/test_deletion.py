"""Finalizers, grace periods and dependents."""

from typing import Any

import pytest

from twin.apiserver import ApiError, Change, Store

ADAPTERS = "modeladapters.model.aibrix.ai"


def owned_by(owner: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    meta = owner["metadata"]
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}
    return [{**reference, **more}]


def names(store: Store, resource: str = "configmaps") -> list[str]:
    return [obj["metadata"]["name"] for obj in store.list(resource).items]


def test_an_object_without_finalizers_is_deleted_immediately(
    store: Store, changes: list[Change], an_adapter: Any
) -> None:
    store.create(ADAPTERS, an_adapter())
    assert store.delete(ADAPTERS, "default", "sql") is None
    last = changes[-1]
    assert last.type == "DELETED"
    assert last.object["metadata"]["resourceVersion"] == store.resource_version


def test_a_finalizer_keeps_an_object_until_its_removal(store: Store, changes: list[Change], an_adapter: Any) -> None:
    store.create(ADAPTERS, an_adapter(meta={"finalizers": ["example.com/hold"]}))
    held = store.delete(ADAPTERS, "default", "sql")
    assert held is not None
    assert held["metadata"]["deletionTimestamp"] == "2026-01-01T00:00:00Z"
    assert held["metadata"]["generation"] == 2
    assert store.delete(ADAPTERS, "default", "sql") is held
    store.patch(ADAPTERS, "default", "sql", {"metadata": {"finalizers": None}})
    assert [change.type for change in changes] == ["ADDED", "MODIFIED", "DELETED"]


def test_an_object_that_is_being_deleted_takes_no_new_finalizer(store: Store, an_adapter: Any) -> None:
    store.create(ADAPTERS, an_adapter(meta={"finalizers": ["example.com/hold"]}))
    store.delete(ADAPTERS, "default", "sql")
    with pytest.raises(ApiError, match="no new finalizers can be added if the object is being deleted"):
        store.patch(ADAPTERS, "default", "sql", {"metadata": {"finalizers": ["example.com/hold", "example.com/b"]}})


@pytest.mark.parametrize("precondition", [{"uid": "another"}, {"resource_version": "1"}])
def test_a_delete_meant_for_another_object_is_a_conflict(
    store: Store, an_adapter: Any, precondition: dict[str, str]
) -> None:
    store.create(ADAPTERS, an_adapter())
    with pytest.raises(ApiError) as refused:
        store.delete(ADAPTERS, "default", "sql", **precondition)
    assert refused.value.code == 409


def test_a_pod_without_a_node_is_deleted_at_once(store: Store, a_pod: Any) -> None:
    store.create("pods", a_pod())
    assert store.delete("pods", "default", "qwen-0") is None


def test_a_bound_pod_gets_a_grace_period_until_the_kubelet_removes_it(store: Store, a_pod: Any) -> None:
    store.create("pods", a_pod(nodeName="n1", terminationGracePeriodSeconds=60))
    marked = store.delete("pods", "default", "qwen-0")
    assert marked is not None
    assert marked["metadata"]["deletionTimestamp"] == "2026-01-01T00:01:00Z"
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 60
    assert store.delete("pods", "default", "qwen-0", grace_period=0) is None
    assert names(store, "pods") == []


def test_a_grace_period_is_only_ever_shortened(store: Store, a_pod: Any) -> None:
    store.create("pods", a_pod(nodeName="n1"))
    first = store.delete("pods", "default", "qwen-0")
    assert store.delete("pods", "default", "qwen-0", grace_period=90) is first
    shorter = store.delete("pods", "default", "qwen-0", grace_period=5)
    assert shorter is not None
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5


def test_writing_to_a_pod_in_its_grace_period_does_not_remove_it(store: Store, a_pod: Any) -> None:
    store.create("pods", a_pod(nodeName="n1"))
    store.delete("pods", "default", "qwen-0")
    store.patch("pods", "default", "qwen-0", {"status": {"phase": "Running"}}, subresource="status")
    assert names(store, "pods") == ["qwen-0"]


def test_dependents_are_deleted_recursively(store: Store, a_config_map: Any) -> None:
    top = store.create("configmaps", a_config_map("top"))
    middle = store.create("configmaps", a_config_map("middle", ownerReferences=owned_by(top)))
    store.create("configmaps", a_config_map("low", ownerReferences=owned_by(middle)))
    store.create("configmaps", a_config_map("other"))
    store.delete("configmaps", "default", "top")
    assert names(store) == ["other"]


def test_orphans_stay_and_lose_their_owner_reference(store: Store, a_config_map: Any) -> None:
    owner = store.create("configmaps", a_config_map("owner"))
    store.create("configmaps", a_config_map("child", ownerReferences=owned_by(owner)))
    store.delete("configmaps", "default", "owner", propagation="Orphan")
    assert names(store) == ["child"]
    assert "ownerReferences" not in store.get("configmaps", "default", "child")["metadata"]


def test_in_foreground_deletion_the_owner_waits_for_blocking_dependents(
    store: Store, a_config_map: Any, changes: list[Change]
) -> None:
    owner = store.create("configmaps", a_config_map("owner"))
    references = owned_by(owner, blockOwnerDeletion=True)
    store.create("configmaps", a_config_map("child", ownerReferences=references, finalizers=["example.com/hold"]))
    store.delete("configmaps", "default", "owner", propagation="Foreground")
    assert names(store) == ["child", "owner"]
    store.patch("configmaps", "default", "child", {"metadata": {"finalizers": None}})
    assert names(store) == []
    assert [change.object["metadata"]["name"] for change in changes if change.type == "DELETED"] == ["child", "owner"]


def test_an_object_with_another_owner_left_stays(store: Store, a_config_map: Any) -> None:
    one, two = (store.create("configmaps", a_config_map(name)) for name in ("one", "two"))
    store.create("configmaps", a_config_map("child", ownerReferences=owned_by(one) + owned_by(two)))
    store.delete("configmaps", "default", "one")
    kept = store.get("configmaps", "default", "child")["metadata"]["ownerReferences"]
    assert [owner["name"] for owner in kept] == ["two"]


def test_an_object_whose_owner_does_not_exist_is_collected(store: Store, a_config_map: Any) -> None:
    owner = store.create("configmaps", a_config_map("owner"))
    store.delete("configmaps", "default", "owner")
    store.create("configmaps", a_config_map("late", ownerReferences=owned_by(owner)))
    assert names(store) == []


def test_an_owner_of_an_unknown_kind_is_assumed_to_exist(store: Store, a_config_map: Any) -> None:
    owner = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w", "uid": "u"}}
    store.create("configmaps", a_config_map("child", ownerReferences=owned_by(owner)))
    assert names(store) == ["child"]


def test_a_deleted_namespace_stays_until_it_is_finalized(store: Store, a_config_map: Any) -> None:
    store.create("namespaces", {"metadata": {"name": "team"}})
    store.delete("namespaces", "", "team")
    assert store.get("namespaces", "", "team")["status"]["phase"] == "Terminating"
    with pytest.raises(ApiError) as refused:
        store.create("configmaps", a_config_map("late", namespace="team"))
    assert refused.value.message == (
        'configmaps "late" is forbidden: unable to create new content in namespace team because it is being terminated'
    )
    assert refused.value.status["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    store.patch("namespaces", "", "team", {"spec": {"finalizers": None}})
    assert store.get("namespaces", "", "team")["spec"] == {"finalizers": ["kubernetes"]}, "not by the main resource"
    store.patch("namespaces", "", "team", {"spec": {"finalizers": None}}, subresource="finalize")
    with pytest.raises(ApiError, match="not found"):
        store.get("namespaces", "", "team")


def test_deleting_a_definition_deletes_its_objects(store: Store, an_adapter: Any) -> None:
    store.create(ADAPTERS, an_adapter())
    store.delete("customresourcedefinitions.apiextensions.k8s.io", "", ADAPTERS)
    with pytest.raises(ApiError, match="no such kind"):
        store.list(ADAPTERS)
