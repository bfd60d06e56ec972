"""The client on a live server, where servers differ from a store: pages, broken streams, invalid responses, outages."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from controller.api.types import ENDPOINT_SLICES, LEASES, MODEL_ADAPTERS, NODES, PODS, SECRETS
from controller.client.interface import Conflict, Expired, Forbidden, Invalid, NotFound, Unavailable
from controller.client.rest import RestClient, path
from tests.controller.api_server import ScriptedServer, client_of, json_response, status, streams


def a_lease(name: str = "lock", version: int = 1) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default", "resourceVersion": str(version)}, "spec": {}}


def a_list(*items: dict[str, Any], version: int = 9, further: str = "") -> dict[str, Any]:
    return {"kind": "LeaseList", "metadata": {"resourceVersion": str(version), "continue": further}, "items": [*items]}


def line(kind: str, obj: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


async def observed(client: RestClient) -> list[tuple[str, str]]:
    events = [event async for event in client.watch(LEASES, resource_version="1")]
    return [(event.type, event.object.metadata.resource_version) for event in events]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (path(PODS), "/api/v1/pods"),
        (path(PODS, "a"), "/api/v1/namespaces/a/pods"),
        (path(NODES, "", "n"), "/api/v1/nodes/n"),
        (
            path(MODEL_ADAPTERS, "a", "b", "status"),
            "/apis/model.aibrix.ai/v1alpha1/namespaces/a/modeladapters/b/status",
        ),
        (path(LEASES, "a", "../b"), "/apis/coordination.k8s.io/v1/namespaces/a/leases/..%2Fb"),
    ],
)
def test_paths_are_those_of_kubernetes(result: str, expected: str) -> None:
    assert result == expected


def test_pages_are_followed_and_the_first_ones_version_is_kept(tmp_path: Path) -> None:
    script = ScriptedServer(
        [json_response(200, a_list(a_lease("a"), further="more")), json_response(200, a_list(a_lease("b")))]
    )

    async def story() -> None:
        async with client_of(script, tmp_path) as client:
            result = await client.list(LEASES, label_selector="a=b")
        assert [item.metadata.name for item in result.items] == ["a", "b"]
        assert result.resource_version == "9"

    asyncio.run(story())
    assert [dict(request.query) for request in script.requests] == [
        {"limit": "500", "labelSelector": "a=b"},
        {"limit": "500", "labelSelector": "a=b", "continue": "more"},
    ]


def test_a_list_whose_next_page_has_expired_is_read_without_pages(tmp_path: Path) -> None:
    script = ScriptedServer(
        [
            json_response(200, a_list(a_lease("a"), further="more")),
            status(410, "Expired"),
            json_response(200, a_list(a_lease("c"))),
        ]
    )

    async def story() -> None:
        async with client_of(script, tmp_path) as client:
            result = await client.list(LEASES)
        assert [item.metadata.name for item in result.items] == ["c"]

    asyncio.run(story())
    assert dict(script.requests[-1].query) == {}


def test_a_watch_requests_bookmarks_and_a_timeout(tmp_path: Path) -> None:
    script = ScriptedServer([streams(line("ADDED", a_lease()))])

    async def story() -> None:
        async with client_of(script, tmp_path) as client:
            await observed(client)

    asyncio.run(story())
    asked, query = (dict(request.query) for request in script.requests)
    assert asked == {"limit": "1", "resourceVersion": "1", "resourceVersionMatch": "NotOlderThan"}
    assert 300 <= int(query.pop("timeoutSeconds")) <= 600
    assert query == {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": "1"}


def test_lines_of_a_watch_may_arrive_in_chunks(tmp_path: Path) -> None:
    whole = line("ADDED", a_lease(version=2)) + line("MODIFIED", a_lease(version=3))
    script = ScriptedServer([streams(whole[:20], whole[20:70], whole[70:])])

    async def story() -> None:
        async with client_of(script, tmp_path) as client:
            assert await observed(client) == [("ADDED", "2"), ("MODIFIED", "3")]

    asyncio.run(story())


def test_a_truncated_line_is_not_an_event(tmp_path: Path) -> None:
    script = ScriptedServer([streams(line("ADDED", a_lease(version=2)), line("MODIFIED", a_lease(version=3))[:-10])])

    async def story() -> None:
        async with client_of(script, tmp_path) as client:
            assert await observed(client) == [("ADDED", "2")]

    asyncio.run(story())


def test_a_line_may_be_longer_than_any_buffer(tmp_path: Path) -> None:
    lease = a_lease(version=2)
    lease["metadata"]["annotations"] = {"a": "x" * 3_000_000}
    script = ScriptedServer([streams(line("ADDED", lease))])

    async def story() -> None:
        async with client_of(script, tmp_path) as client:
            assert await observed(client) == [("ADDED", "2")]

    asyncio.run(story())


def test_a_bookmark_of_a_custom_resource_carries_a_version_only(tmp_path: Path) -> None:
    mark = {"kind": "ModelAdapter", "apiVersion": "model.aibrix.ai/v1alpha1", "metadata": {"resourceVersion": "77"}}
    script = ScriptedServer([streams(line("BOOKMARK", mark))])

    async def story() -> None:
        async with client_of(script, tmp_path) as client:
            events = [event async for event in client.watch(MODEL_ADAPTERS, resource_version="1")]
        assert [(event.type, event.object.metadata.resource_version) for event in events] == [("BOOKMARK", "77")]

    asyncio.run(story())


def test_an_error_within_a_watch_is_raised(tmp_path: Path) -> None:
    message = {"kind": "Status", "status": "Failure", "reason": "Expired", "message": "too old", "code": 410}
    script = ScriptedServer([streams(line("ADDED", a_lease()), line("ERROR", message))])

    async def story() -> None:
        async with client_of(script, tmp_path) as client:
            with pytest.raises(Expired, match="too old"):
                await observed(client)

    asyncio.run(story())


def test_a_watch_that_ends_at_once_is_an_error(tmp_path: Path) -> None:
    script = ScriptedServer([streams()])

    async def story() -> None:
        async with client_of(script, tmp_path) as client:
            with pytest.raises(Unavailable, match="ended a watch of leases at once"):
                await observed(client)

    asyncio.run(story())


def test_an_invalid_event_is_an_error(tmp_path: Path) -> None:
    script = ScriptedServer([streams(b"<html>hello</html>\n")])

    async def story() -> None:
        async with client_of(script, tmp_path) as client:
            with pytest.raises(Unavailable, match="invalid event"):
                await observed(client)

    asyncio.run(story())


def test_null_lists_are_empty(tmp_path: Path) -> None:
    item = {"metadata": {"name": "a", "resourceVersion": "1", "labels": None}, "endpoints": None, "ports": None}
    script = ScriptedServer([json_response(200, item)])

    async def story() -> None:
        async with client_of(script, tmp_path) as client:
            result = await client.get(ENDPOINT_SLICES, "default", "a")
        assert result.endpoints == ()

    asyncio.run(story())


def test_one_object_that_cannot_be_decoded_does_not_hide_the_others(tmp_path: Path) -> None:
    good = {"podSelector": {}, "artifactURL": "hf://acme/sql"}
    items = [
        {"metadata": {"name": "old", "namespace": "default", "resourceVersion": "1"}, "spec": {"replicas": "many"}},
        {"metadata": {"name": "new", "namespace": "default", "resourceVersion": "2"}, "spec": good},
    ]
    script = ScriptedServer(
        [json_response(200, a_list(*items)), streams(line("ADDED", items[0]), line("ADDED", items[1]))]
    )

    async def story() -> None:
        async with client_of(script, tmp_path) as client:
            result = await client.list(MODEL_ADAPTERS)
            assert [item.key for item in result.items] == ["default/new"]
            events = [event async for event in client.watch(MODEL_ADAPTERS, resource_version="1")]
            assert [event.object.key for event in events] == ["default/new"]

    asyncio.run(story())
    assert "ModelAdapter default/old cannot be decoded" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (status(400, "BadRequest"), Invalid),
        (status(401, "Unauthorized"), Forbidden),
        (status(403, "Forbidden"), Forbidden),
        (status(404, "NotFound"), NotFound),
        (json_response(404, "404 page not found"), NotFound),
        (status(405, "MethodNotAllowed"), Invalid),
        (status(409, "Conflict"), Conflict),
        (status(413, "RequestEntityTooLarge"), Invalid),
        (status(415, "UnsupportedMediaType"), Invalid),
        (status(422, "Invalid"), Invalid),
        (status(429, "TooManyRequests", Retry_After="60"), Unavailable),
        (status(500, "InternalError"), Unavailable),
        (json_response(502, "<html>bad gateway</html>"), Unavailable),
        (status(503, "ServiceUnavailable", Retry_After="60"), Unavailable),
        (status(504, "Timeout"), Unavailable),
    ],
)
def test_responses_map_to_errors_by_status(answer: Any, expected: type[Exception], tmp_path: Path) -> None:
    async def story() -> None:
        async with client_of(ScriptedServer([answer]), tmp_path) as client:
            with pytest.raises(expected):
                await client.patch(LEASES, "default", "lock", {"spec": {}})

    asyncio.run(story())


def test_retry_after_is_respected_also_for_writes(tmp_path: Path) -> None:
    script = ScriptedServer([status(429, "TooManyRequests", Retry_After="0"), json_response(200, a_lease())])

    async def story() -> None:
        async with client_of(script, tmp_path) as client:
            assert (await client.patch(LEASES, "default", "lock", {"spec": {}})).metadata.name == "lock"

    asyncio.run(story())
    assert script.bodies == [{"spec": {}}] * 2


def test_a_long_retry_after_is_left_to_the_caller_and_capped(tmp_path: Path) -> None:
    script = ScriptedServer([status(503, "ServiceUnavailable", Retry_After="120")])

    async def story() -> None:
        async with client_of(script, tmp_path) as client:
            with pytest.raises(Unavailable) as caught:
                await client.get(LEASES, "default", "lock")
        assert caught.value.retry_after == 30

    asyncio.run(story())
    assert len(script.requests) == 1


def test_reads_are_retried_and_writes_are_not(tmp_path: Path) -> None:
    reads = ScriptedServer(
        [status(500, "InternalError"), status(503, "ServiceUnavailable"), json_response(200, a_lease())]
    )
    writes = ScriptedServer([status(500, "InternalError")])

    async def story() -> None:
        async with client_of(reads, tmp_path) as client:
            await client.get(LEASES, "default", "lock")
        async with client_of(writes, tmp_path) as client:
            with pytest.raises(Unavailable):
                await client.patch(LEASES, "default", "lock", {"spec": {}})

    asyncio.run(story())
    assert (len(reads.requests), len(writes.requests)) == (3, 1)


def test_a_server_that_refuses_fresh_credentials_is_not_asked_for_ever(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("controller.client.transport._RELOAD_INTERVAL", -1.0)  # each answer takes longer than that
    script = ScriptedServer([status(401, "Unauthorized")])

    async def story() -> None:
        async with client_of(script, tmp_path) as client:
            with pytest.raises(Forbidden):
                await asyncio.wait_for(client.get(LEASES, "default", "lock"), 5)

    asyncio.run(story())
    assert len(script.requests) == 2


def test_a_server_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    async def silence(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(5)
        raise AssertionError("the request should have timed out")

    async def story() -> None:
        async with client_of(ScriptedServer([silence]), tmp_path, timeout=0.2) as client:
            with pytest.raises(Unavailable, match=r"no response within 0.2 s"):
                await client.patch(LEASES, "default", "lock", {"spec": {}})

    asyncio.run(story())


def test_an_invalid_list_is_an_error(tmp_path: Path) -> None:
    async def story() -> None:
        async with client_of(ScriptedServer([json_response(200, "welcome to the guest network")]), tmp_path) as client:
            with pytest.raises(Unavailable, match="invalid list"):
                await client.list(LEASES)

    asyncio.run(story())


def test_every_write_has_a_field_manager_and_a_content_type(tmp_path: Path) -> None:
    script = ScriptedServer([json_response(200, a_lease())])

    async def story() -> None:
        async with client_of(script, tmp_path) as client:
            lease = LEASES.decode(a_lease())
            await client.create(LEASES, lease)
            await client.patch(LEASES, "default", "lock", {"spec": {}}, resource_version="7")
            await client.delete(LEASES, "default", "lock", uid="u", propagation="Orphan")

    asyncio.run(story())
    create, patch, delete = script.requests
    assert (create.method, create.query["fieldManager"]) == ("POST", "lora-controller")
    assert "resourceVersion" not in script.bodies[0]["metadata"]
    assert patch.content_type == "application/merge-patch+json"
    assert script.bodies[1] == {"spec": {}, "metadata": {"resourceVersion": "7"}}
    assert delete.method == "DELETE"
    assert script.bodies[2]["preconditions"] == {"uid": "u"}
    assert script.bodies[2]["propagationPolicy"] == "Orphan"


def test_a_secret_that_cannot_be_read_is_not_shown(tmp_path: Path) -> None:
    item = {"metadata": {"name": "key", "namespace": "default"}, "data": {"api-key": "not base64 sk-secret"}}

    async def story() -> None:
        async with client_of(ScriptedServer([json_response(200, item)]), tmp_path) as client:
            with pytest.raises(Invalid) as caught:
                await client.get(SECRETS, "default", "key")
        assert "sk-secret" not in str(caught.value)
        assert "default/key" in str(caught.value)

    asyncio.run(story())
