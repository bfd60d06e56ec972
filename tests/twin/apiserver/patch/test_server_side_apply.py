"""Server-side apply: field owners, conflicts, and removal of fields that no manager sets."""

from typing import Any

import pytest

from twin.apiserver import ApiError, Change, Store

ADAPTERS = "modeladapters.model.aibrix.ai"


def service(*, name: str = "svc", labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    meta = {"name": name, **({"labels": labels} if labels else {})}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"clusterIP": "None", **spec}}


def apply(store: Store, body: dict[str, Any], manager: str = "operator", *, force: bool = False) -> dict[str, Any]:
    name = body["metadata"]["name"]
    return store.patch("services", "default", name, body, type="apply", manager=manager, force=force)


def managers(obj: dict[str, Any]) -> list[tuple[str, str]]:
    return [(entry["manager"], entry["operation"]) for entry in obj["metadata"].get("managedFields", [])]


def test_an_apply_creates_and_owns_only_the_fields_it_sets(store: Store) -> None:
    created = apply(store, service(labels={"a": "1"}, ports=[{"name": "http", "port": 80}]))
    (entry,) = created["metadata"]["managedFields"]
    assert created["spec"]["type"] == "ClusterIP"
    assert entry["fieldsV1"] == {
        "f:metadata": {"f:labels": {"f:a": {}}},
        "f:spec": {
            "f:clusterIP": {},
            "f:ports": {'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}}},
        },
    }


def test_the_same_apply_again_writes_nothing(store: Store, clock: Any, changes: list[Change]) -> None:
    body = service(labels={"a": "1"}, ports=[{"port": 80}])
    first = apply(store, body)
    clock.advance(60)
    assert apply(store, body) is first
    assert len(changes) == 1


def test_a_field_that_its_only_owner_no_longer_applies_is_removed(store: Store) -> None:
    apply(store, service(labels={"a": "1", "b": "2"}, ports=[{"name": "h", "port": 80}, {"name": "m", "port": 81}]))
    after = apply(store, service(labels={"b": "2"}, ports=[{"name": "m", "port": 81}]))
    assert after["metadata"]["labels"] == {"b": "2"}
    assert [port["port"] for port in after["spec"]["ports"]] == [81]


def test_a_field_that_another_still_owns_stays(store: Store) -> None:
    apply(store, service(labels={"a": "1"}))
    apply(store, service(labels={"a": "1"}), "helm")
    assert apply(store, service())["metadata"]["labels"] == {"a": "1"}


def test_changing_a_field_of_another_manager_is_a_conflict_that_names_it(store: Store) -> None:
    apply(store, service(labels={"a": "1", "b": "1"}))
    with pytest.raises(ApiError) as refused:
        apply(store, service(labels={"a": "2"}), "helm")
    assert refused.value.code == 409
    assert refused.value.message == 'Apply failed with 1 conflict: conflict with "operator": .metadata.labels.a'
    assert refused.value.status["details"]["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "operator"',
            "field": ".metadata.labels.a",
        }
    ]
    with pytest.raises(ApiError, match=r"2 conflicts: conflicts with \"operator\":\n- \.metadata\.labels\.a\n- "):
        apply(store, service(labels={"a": "2", "b": "2"}), "helm")


def test_force_takes_the_field_and_the_old_owner_loses_it(store: Store) -> None:
    apply(store, service(labels={"a": "1", "b": "1"}))
    forced = apply(store, service(labels={"a": "2"}), "helm", force=True)
    assert forced["metadata"]["labels"] == {"a": "2", "b": "1"}
    assert apply(store, service())["metadata"]["labels"] == {"a": "2"}


def test_the_same_value_is_shared_without_conflict(store: Store) -> None:
    apply(store, service(labels={"a": "1"}))
    shared = apply(store, service(labels={"a": "1"}), "helm")
    assert managers(shared) == [("helm", "Apply"), ("operator", "Apply")]


def test_a_patch_owns_the_fields_that_it_changes(store: Store) -> None:
    apply(store, service(labels={"a": "1"}))
    patched = store.patch("services", "default", "svc", {"metadata": {"labels": {"a": "9"}}}, manager="kubectl-edit")
    assert managers(patched) == [("operator", "Apply"), ("kubectl-edit", "Update")]
    with pytest.raises(ApiError, match=r'conflict with "kubectl-edit" using v1: '):
        apply(store, service(labels={"a": "1"}))


def test_fields_from_before_the_first_apply_have_an_owner(store: Store) -> None:
    store.create("services", service(labels={"a": "1"}))
    with pytest.raises(ApiError, match='conflict with "before-first-apply" using v1'):
        apply(store, service(labels={"a": "2"}))
    applied = apply(store, service(labels={"a": "2"}), force=True)
    assert managers(applied) == [("operator", "Apply"), ("before-first-apply", "Update")]


def test_finalizers_and_annotations_of_custom_resources_can_be_applied(store: Store, an_adapter: Any) -> None:
    store.create(ADAPTERS, an_adapter(meta={"finalizers": ["example.com/other"]}))
    body = {"apiVersion": "model.aibrix.ai/v1alpha1", "kind": "ModelAdapter"}
    meta = {"name": "sql", "finalizers": ["example.com/ours"], "annotations": {"example.com/n": "1"}}

    def applied(meta: dict[str, Any]) -> dict[str, Any]:
        obj = {**body, "metadata": meta}
        return store.patch(ADAPTERS, "default", "sql", obj, type="apply", manager="operator")["metadata"]

    assert applied(meta)["finalizers"] == ["example.com/other", "example.com/ours"]
    assert applied({"name": "sql"})["finalizers"] == ["example.com/other"]


def test_conditions_of_the_crd_are_owned_one_by_one(store: Store, an_adapter: Any) -> None:
    store.create(ADAPTERS, an_adapter())

    def apply_condition(name: str, manager: str) -> list[str]:
        condition = {"type": name, "status": "True", "reason": "R", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        body = {
            "apiVersion": "model.aibrix.ai/v1alpha1",
            "kind": "ModelAdapter",
            "metadata": {"name": "sql"},
            "status": {"conditions": [condition]},
        }
        stored = store.patch(ADAPTERS, "default", "sql", body, type="apply", manager=manager, subresource="status")
        return [condition["type"] for condition in stored["status"]["conditions"]]

    assert apply_condition("Ready", "one") == ["Ready"]
    assert apply_condition("Bound", "two") == ["Ready", "Bound"]
    assert apply_condition("Loaded", "one") == ["Bound", "Loaded"]


@pytest.mark.parametrize(
    ("change", "manager", "message"),
    [
        ({}, "", "fieldManager: Required value: is required for apply patch"),
        ({"kind": ""}, "m", "has to name apiVersion and kind"),
        ({"kind": "Secret"}, "m", "the object's kind is 'Secret'"),
        ({"metadata": {"name": "x", "managedFields": [{}]}}, "m", "managedFields must be nil"),
    ],
)
def test_an_apply_is_refused(store: Store, change: dict[str, Any], manager: str, message: str) -> None:
    body = {**service(name="x"), **change}
    with pytest.raises(ApiError) as refused:
        store.patch("services", "default", "x", body, type="apply", manager=manager)
    assert message in refused.value.message


def test_an_apply_with_an_old_resource_version_is_a_conflict(store: Store) -> None:
    first = apply(store, service(labels={"a": "1"}))
    apply(store, service(labels={"a": "2"}))
    body = service(labels={"a": "3"})
    body["metadata"]["resourceVersion"] = first["metadata"]["resourceVersion"]
    with pytest.raises(ApiError, match="the object has been modified"):
        apply(store, body)
