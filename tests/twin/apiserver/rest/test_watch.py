"""Watches over HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

from tests.twin.serve.api import ADAPTERS, Api, adapter, on_sockets, served_store

TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


async def _events(client: httpx.AsyncClient, path: str, **headers: str) -> AsyncIterator[dict[str, Any]]:
    async with client.stream("GET", path, headers=headers) as answer:
        async for line in answer.aiter_lines():
            yield json.loads(line)


async def _first(events: AsyncIterator[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    return [await anext(events) for _ in range(count)]


async def _version(api: Api) -> str:
    version: str = (await api.client.get(ADAPTERS)).json()["metadata"]["resourceVersion"]
    return version


@on_sockets
async def test_changes_come_as_they_happen() -> None:
    async with served_store() as api:
        events = _events(api.client, f"{ADAPTERS}?watch=1&resourceVersion={await _version(api)}")
        received = asyncio.create_task(_first(events, 3))
        await asyncio.sleep(0.05)
        await api.client.post(ADAPTERS, json=adapter("sql"))
        merge = {"content-type": "application/merge-patch+json"}
        await api.client.patch(f"{ADAPTERS}/sql", json={"spec": {"replicas": 2}}, headers=merge)
        await api.client.delete(f"{ADAPTERS}/sql")
        assert [(event["type"], event["object"]["metadata"]["name"]) for event in await received] == [
            ("ADDED", "sql"),
            ("MODIFIED", "sql"),
            ("DELETED", "sql"),
        ]
        await events.aclose()  # type: ignore[attr-defined]


@on_sockets
async def test_a_watch_ends_when_its_time_is_up() -> None:
    async with served_store() as api:
        await api.client.post(ADAPTERS, json=adapter("sql"))
        received = [event["type"] async for event in _events(api.client, f"{ADAPTERS}?watch=1&timeoutSeconds=1")]
        assert received == ["ADDED"]
        assert len(api.app.watches) == 0


@on_sockets
async def test_a_compacted_version_is_an_error_event_with_410() -> None:
    async with served_store() as api:
        await api.client.post(ADAPTERS, json=adapter("sql"))
        version = await _version(api)
        await api.client.post(ADAPTERS, json=adapter("other"))
        api.store.compact()
        events = _events(api.client, f"{ADAPTERS}?watch=1&resourceVersion={version}")
        (error,) = await _first(events, 1)
        assert (error["type"], error["object"]["code"], error["object"]["reason"]) == ("ERROR", 410, "Expired")


@on_sockets
async def test_a_streamed_list_ends_with_an_annotated_bookmark() -> None:
    async with served_store() as api:
        await api.client.post(ADAPTERS, json=adapter("sql"))
        query = "watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
        events = _events(api.client, f"{ADAPTERS}?{query}")
        added, mark = await _first(events, 2)
        assert (added["type"], mark["type"]) == ("ADDED", "BOOKMARK")
        meta = mark["object"]["metadata"]
        assert meta["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert meta["resourceVersion"] == await _version(api)
        await events.aclose()  # type: ignore[attr-defined]


@on_sockets
async def test_a_watched_table_has_its_columns_once() -> None:
    async with served_store() as api:
        await api.client.post(ADAPTERS, json=adapter("a"))
        await api.client.post(ADAPTERS, json=adapter("b"))
        events = _events(api.client, f"{ADAPTERS}?watch=1&timeoutSeconds=1", **TABLE)
        first, second = await _first(events, 2)
        assert first["object"]["columnDefinitions"]
        assert (first["object"]["kind"], second["object"]["columnDefinitions"]) == ("Table", [])
        await events.aclose()  # type: ignore[attr-defined]


@on_sockets
async def test_a_watch_is_closed_when_its_client_disconnects() -> None:
    async with served_store() as api:
        await api.client.post(ADAPTERS, json=adapter("sql"))
        events = _events(api.client, f"{ADAPTERS}?watch=1")
        await _first(events, 1)
        assert len(api.app.watches) == 1
        await events.aclose()  # type: ignore[attr-defined]
        await asyncio.sleep(0.1)
        assert len(api.app.watches) == 0
