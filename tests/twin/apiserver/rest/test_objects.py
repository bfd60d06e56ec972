"""The verbs on objects over HTTP: the served store answers like a real API server."""

from datetime import timedelta
from typing import Any

import pytest

from tests.twin.serve.api import ADAPTERS, NOW, PODS, adapter, on_sockets, pod, served_store

MERGE = {"content-type": "application/merge-patch+json"}
TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


@on_sockets
async def test_an_object_is_created_read_replaced_patched_and_deleted() -> None:
    async with served_store() as api:
        made = await api.client.post(ADAPTERS, json=adapter("sql"))
        assert (made.status_code, made.json()["metadata"]["generation"]) == (201, 1)

        body = {**made.json(), "spec": {**made.json()["spec"], "replicas": 2}}
        put = await api.client.put(f"{ADAPTERS}/sql", json=body)
        assert put.json()["spec"]["replicas"] == 2

        patched = await api.client.patch(f"{ADAPTERS}/sql", json={"spec": {"replicas": 3}}, headers=MERGE)
        assert patched.json()["metadata"]["generation"] == 3

        gone = await api.client.delete(f"{ADAPTERS}/sql")
        assert gone.json()["status"] == "Success"
        assert gone.json()["details"] == {
            "name": "sql",
            "group": "model.aibrix.ai",
            "kind": "modeladapters",
            "uid": made.json()["metadata"]["uid"],
        }
        missing = await api.client.get(f"{ADAPTERS}/sql")
        assert (missing.status_code, missing.json()["reason"]) == (404, "NotFound")


@on_sockets
async def test_an_object_with_a_finalizer_is_answered_as_it_waits() -> None:
    async with served_store() as api:
        body = adapter("sql")
        body["metadata"]["finalizers"] = ["adapter.model.aibrix.ai/finalizer"]
        await api.client.post(ADAPTERS, json=body)
        waiting = (await api.client.delete(f"{ADAPTERS}/sql")).json()
        assert waiting["kind"] == "ModelAdapter"
        assert "deletionTimestamp" in waiting["metadata"]


@on_sockets
async def test_status_is_written_only_through_its_subresource() -> None:
    async with served_store() as api:
        await api.client.post(ADAPTERS, json={**adapter("sql"), "status": {"phase": "Running"}})
        await api.client.patch(f"{ADAPTERS}/sql", json={"status": {"phase": "Failed"}}, headers=MERGE)
        assert "status" not in (await api.client.get(f"{ADAPTERS}/sql")).json()
        body = {"status": {"phase": "Bound"}, "metadata": {"annotations": {"a": "b"}}}
        patched = await api.client.patch(f"{ADAPTERS}/sql/status", json=body, headers=MERGE)
        assert patched.json()["status"] == {"phase": "Bound"}
        assert "annotations" not in patched.json()["metadata"]


@on_sockets
async def test_replicas_are_scaled_through_the_scale_subresource() -> None:
    async with served_store() as api:
        await api.client.post(ADAPTERS, json=adapter("sql", replicas=1))
        scale = (await api.client.get(f"{ADAPTERS}/sql/scale")).json()
        assert (scale["kind"], scale["spec"]["replicas"]) == ("Scale", 1)
        await api.client.put(f"{ADAPTERS}/sql/scale", json={**scale, "spec": {"replicas": 4}})
        assert (await api.client.get(f"{ADAPTERS}/sql")).json()["spec"]["replicas"] == 4


@on_sockets
async def test_an_apply_creates_with_201_then_changes_with_200_and_can_conflict() -> None:
    async with served_store() as api:
        headers = {"content-type": "application/apply-patch+yaml"}
        body = adapter("sql", replicas=1)
        first = await api.client.patch(f"{ADAPTERS}/sql?fieldManager=a", json=body, headers=headers)
        again = await api.client.patch(f"{ADAPTERS}/sql?fieldManager=a", json=body, headers=headers)
        assert (first.status_code, again.status_code) == (201, 200)
        other = adapter("sql", replicas=2)
        refused = await api.client.patch(f"{ADAPTERS}/sql?fieldManager=b", json=other, headers=headers)
        assert (refused.status_code, refused.json()["reason"]) == (409, "Conflict")
        forced = await api.client.patch(f"{ADAPTERS}/sql?fieldManager=b&force=true", json=other, headers=headers)
        assert forced.json()["spec"]["replicas"] == 2


@on_sockets
async def test_an_apply_may_be_written_in_yaml() -> None:
    async with served_store() as api:
        text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n"
        answer = await api.client.patch(
            "/api/v1/namespaces/default/configmaps/settings?fieldManager=a",
            content=text,
            headers={"content-type": "application/apply-patch+yaml"},
        )
        assert answer.json()["data"] == {"a": "b"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", f"{ADAPTERS}?dryRun=All", adapter("other")),
        ("PATCH", f"{ADAPTERS}/sql?dryRun=All", {"spec": {"replicas": 7}}),
        ("PUT", f"{ADAPTERS}/sql/scale?dryRun=All", {"spec": {"replicas": 7}}),
        ("DELETE", f"{ADAPTERS}/sql?dryRun=All", None),
        ("DELETE", f"{ADAPTERS}/sql", {"dryRun": ["All"]}),
        ("DELETE", f"{ADAPTERS}?dryRun=All", None),
    ],
)
@on_sockets
async def test_a_dry_run_returns_the_result_and_changes_nothing(method: str, path: str, body: Any) -> None:
    async with served_store() as api:
        await api.client.post(ADAPTERS, json=adapter("sql", replicas=1))
        before = (await api.client.get(ADAPTERS)).json()
        answer = await api.client.request(method, path, json=body, headers=MERGE if method == "PATCH" else None)
        assert answer.is_success
        assert (await api.client.get(ADAPTERS)).json() == before


@on_sockets
async def test_pages_show_the_state_of_the_first() -> None:
    async with served_store() as api:
        for name in ("a", "b", "c"):
            await api.client.post(ADAPTERS, json=adapter(name))
        first = (await api.client.get(f"{ADAPTERS}?limit=2")).json()
        assert first["metadata"]["remainingItemCount"] == 1
        await api.client.post(ADAPTERS, json=adapter("d"))
        rest = (await api.client.get(ADAPTERS, params={"limit": 2, "continue": first["metadata"]["continue"]})).json()
        assert [item["metadata"]["name"] for item in rest["items"]] == ["c"]


@on_sockets
async def test_a_collection_is_deleted_by_its_selector() -> None:
    async with served_store() as api:
        await api.client.post(PODS, json=pod("a", app="one"))
        await api.client.post(PODS, json=pod("b", app="two"))
        await api.client.delete(f"{PODS}?labelSelector=app%3Done")
        assert [item["metadata"]["name"] for item in (await api.client.get(PODS)).json()["items"]] == ["b"]


@on_sockets
async def test_a_table_has_the_columns_of_the_definition_and_ages_by_the_servers_clock() -> None:
    async with served_store() as api:
        await api.client.post(ADAPTERS, json=adapter("sql"))
        api.clock[0] = NOW + timedelta(minutes=5, seconds=3)
        table = (await api.client.get(ADAPTERS, headers=TABLE)).json()
        names = [column["name"] for column in table["columnDefinitions"]]
        cells = dict(zip(names, table["rows"][0]["cells"], strict=True))
        assert (cells["Name"], cells["Age"], cells["Model Path"]) == ("sql", "5m3s", "huggingface://acme/sql")
        assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


@on_sockets
async def test_a_client_can_request_only_metadata() -> None:
    async with served_store() as api:
        await api.client.post(ADAPTERS, json=adapter("sql"))
        accept = {"accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
        listed = (await api.client.get(ADAPTERS, headers=accept)).json()
        assert listed["kind"] == "PartialObjectMetadataList"
        assert "spec" not in listed["items"][0]


@pytest.mark.parametrize(
    ("method", "path", "sent", "code", "message"),
    [
        ("GET", "/apis/model.aibrix.ai/v2/modeladapters", None, 404, "could not find the requested resource"),
        ("GET", "/api/v1/namespaces/default/unicorns", None, 404, "could not find the requested resource"),
        ("POST", ADAPTERS, {"spec": 1}, 422, "is invalid"),
        ("POST", ADAPTERS, adapter("sql"), 409, "already exists"),
        ("POST", ADAPTERS.replace("default", "nowhere"), adapter("x") | {"metadata": {"name": "x"}}, 404, "nowhere"),
        ("PUT", f"{ADAPTERS}/sql", adapter("other"), 400, "does not match the name on the URL (sql)"),
        ("PUT", f"{ADAPTERS}/sql", adapter("sql"), 422, "must be specified for an update"),
        ("POST", f"{ADAPTERS}?fieldValidation=Strict", adapter("x", speed=1), 400, 'unknown field "spec.speed"'),
        ("POST", f"{ADAPTERS}?dryRun=Some", adapter("x"), 422, 'dryRun: Unsupported value: ["Some"]'),
        ("PATCH", f"{ADAPTERS}/sql", {}, 415, "unknown format"),
        ("DELETE", f"{ADAPTERS}/sql?propagationPolicy=Never", None, 422, "propagationPolicy: Unsupported value"),
        ("DELETE", f"{ADAPTERS}/sql", {"preconditions": {"uid": "x"}}, 409, "Precondition failed: UID"),
        ("GET", f"{ADAPTERS}?labelSelector=((", None, 400, "unable to parse requirement"),
        ("GET", f"{ADAPTERS}?resourceVersion=99999", None, 504, "Too large resource version"),
        ("GET", f"{ADAPTERS}?watch=1&resourceVersion=x", None, 400, "resourceVersion"),
        ("POST", f"{ADAPTERS}/sql", {}, 405, "does not allow this method"),
        ("GET", f"{PODS}/x/portforward", None, 404, "could not find the requested resource"),
    ],
)
@on_sockets
async def test_invalid_requests_are_refused_with_a_real_servers_status(
    method: str, path: str, sent: Any, code: int, message: str
) -> None:
    async with served_store() as api:
        await api.client.post(ADAPTERS, json=adapter("sql"))
        answer = await api.client.request(method, path, json=sent)
        assert (answer.status_code, answer.json()["kind"]) == (code, "Status")
        assert message in answer.json()["message"]
        assert (answer.json()["status"], answer.json()["code"]) == ("Failure", code)


@on_sockets
async def test_an_unknown_field_is_dropped_with_a_warning() -> None:
    async with served_store() as api:
        answer = await api.client.post(ADAPTERS, json=adapter("sql", speed=1))
        assert answer.headers["warning"] == r'299 - "unknown field \"spec.speed\""'
        assert "speed" not in answer.json()["spec"]


@on_sockets
async def test_a_body_that_is_not_json_is_a_bad_request() -> None:
    async with served_store() as api:
        answer = await api.client.post(ADAPTERS, content=b"{", headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")


@on_sockets
async def test_an_event_is_one_object_under_two_names() -> None:
    async with served_store() as api:
        about = {"kind": "ModelAdapter", "name": "sql", "namespace": "default"}
        event = {
            "metadata": {"name": "sql.1"},
            "regarding": about,
            "note": "loaded",
            "reason": "Loaded",
            "type": "Normal",
        }
        await api.client.post("/apis/events.k8s.io/v1/namespaces/default/events", json=event)
        older = "/api/v1/namespaces/default/events"
        listed = (await api.client.get(f"{older}?fieldSelector=involvedObject.kind%3DModelAdapter")).json()["items"]
        assert [(item["message"], item["involvedObject"]["name"]) for item in listed] == [("loaded", "sql")]
        assert not (await api.client.get(f"{older}?fieldSelector=involvedObject.kind%3DPod")).json()["items"]
        await api.client.patch(f"{older}/sql.1", json={"message": "again", "count": 2}, headers=MERGE)
        newer = (await api.client.get("/apis/events.k8s.io/v1/namespaces/default/events/sql.1")).json()
        assert (newer["note"], newer["deprecatedCount"]) == ("again", 2)


@on_sockets
async def test_an_eviction_checks_the_uid_of_the_pod() -> None:
    async with served_store() as api:
        made = (await api.client.post(PODS, json=pod("qwen"))).json()
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "qwen"}}
        for uid, code in (("another", 409), (made["metadata"]["uid"], 201)):
            options = {"preconditions": {"uid": uid}}
            answer = await api.client.post(f"{PODS}/qwen/eviction", json={**eviction, "deleteOptions": options})
            assert answer.status_code == code
