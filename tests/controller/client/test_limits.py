"""An API server may answer with anything: the client reads a bounded part of it and raises a `ClientError`."""

import asyncio
import gzip
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from controller.api.types import LEASES, PODS
from controller.client.interface import ClientError, Invalid, Unavailable
from controller.client.limits import MAX_LINE, LineReader
from controller.client.rest import RestClient
from tests.controller.api_server import Handler, ScriptedServer, client_of, json_response, streams

LEASE: dict[str, Any] = {"metadata": {"name": "lock", "namespace": "models", "resourceVersion": "1"}, "spec": {}}


def raises(folder: Path, answer: Handler, expected: type[ClientError], *, watching: bool = False) -> ClientError:
    """Return the error of a list (or a watch) with that answer."""

    async def story() -> None:
        async with client_of(ScriptedServer([answer]), folder) as client:
            await (watch(client) if watching else client.list(LEASES))

    with pytest.raises(expected) as caught:
        asyncio.run(story())
    return caught.value


async def watch(client: RestClient) -> None:
    async for _ in client.watch(LEASES, resource_version="1"):
        pass


def endless(chunk: bytes, sent: list[int]) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/json"})
        await response.prepare(request)
        try:
            while sum(sent) < 1 << 30:
                await response.write(chunk)
                sent.append(len(chunk))
        except ConnectionError:
            pass
        return response

    return handler


def test_an_object_is_read_up_to_four_mebibytes(tmp_path: Path) -> None:
    sent: list[int] = []

    async def story() -> None:
        async with client_of(ScriptedServer([endless(b" " * 65536, sent)]), tmp_path) as client:
            await client.patch(LEASES, "models", "lock", {})

    with pytest.raises(Unavailable, match="more than 4194304 bytes"):
        asyncio.run(story())
    assert sum(sent) < 256 << 20  # what the sockets hold as well


def test_decompressed_bytes_are_counted(tmp_path: Path) -> None:
    body = gzip.compress(bytes(256 << 20))

    async def story() -> None:
        answer = web.Response(body=body, headers={"content-encoding": "gzip", "content-type": "application/json"})
        async with client_of(ScriptedServer([lambda _: answer]), tmp_path) as client:
            await client.patch(LEASES, "models", "lock", {})

    with pytest.raises(Unavailable):
        asyncio.run(story())


def test_an_event_is_read_up_to_four_mebibytes(tmp_path: Path) -> None:
    sent: list[int] = []
    assert "more than 4194304 bytes" in str(raises(tmp_path, endless(b"x" * 65536, sent), Unavailable, watching=True))
    assert sum(sent) < 256 << 20  # what the sockets hold as well


def test_chunks_are_joined_to_lines_whatever_their_size() -> None:
    text = b'{"a": 1}\n\n{"b": 2}\r\n   \n{"c"'
    for size in (1, 2, 3, 7, len(text)):
        reader = LineReader()
        lines = [line for at in range(0, len(text), size) for line in reader.feed(text[at : at + size])]
        assert [line.strip() for line in lines] == [b'{"a": 1}', b'{"b": 2}']
    with pytest.raises(Unavailable):
        LineReader().feed(b"x" * (MAX_LINE + 1) + b"\n")


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        "null",
        '{"metadata": {}, "items": []}',
        '{"metadata": {"resourceVersion": "abc"}, "items": []}',
        '{"metadata": {"resourceVersion": "²"}, "items": []}',
        '{"metadata": {"resourceVersion": "-1"}, "items": []}',
        '{"metadata": {"resourceVersion": "%s"}, "items": []}' % ("9" * 5000),
        '{"metadata": {"resourceVersion": 7}, "items": []}',
        "[" * 100_000,
        '{"metadata": {"resourceVersion": "1"}, "x": ' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
    ids=range(11),
)
def test_a_list_without_a_version_that_is_a_number_is_unavailable(body: str, tmp_path: Path) -> None:
    assert len(str(raises(tmp_path, json_response(200, body), Unavailable))) < 300


def test_a_list_that_never_ends_is_unavailable(tmp_path: Path) -> None:
    page = {"metadata": {"resourceVersion": "1", "continue": "more"}, "items": [LEASE]}
    assert "does not end its list" in str(raises(tmp_path, json_response(200, page), Unavailable))


@pytest.mark.parametrize("version", ["", "abc", "1.5", "9" * 5000])
def test_an_object_whose_version_is_no_number_is_invalid_and_skipped_in_lists(version: str, tmp_path: Path) -> None:
    odd = {**LEASE, "metadata": {**LEASE["metadata"], "resourceVersion": version}}
    page = {"metadata": {"resourceVersion": "9"}, "items": [odd, LEASE]}
    script = ScriptedServer([json_response(200, odd), json_response(200, page)])

    async def story() -> None:
        async with client_of(script, tmp_path) as client:
            with pytest.raises(Invalid):
                await client.get(LEASES, "models", "lock")
            assert len((await client.list(LEASES)).items) == 1

    asyncio.run(story())


@pytest.mark.parametrize(
    "line",
    [
        b'{"type": "BOOKMARK", "object": {"metadata": {}}}',
        b'{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "abc"}}}',
        b'{"type": "BOOKMARK", "object": ' + b"[" * 100_000 + b"}",
        b'{"type": "ADDED"}',
        b'{"type": "ADDED", "object": ' + b'{"a":' * 50_000,
    ],
    ids=range(5),
)
def test_an_event_without_a_version_ends_the_watch(line: bytes, tmp_path: Path) -> None:
    raises(tmp_path, streams(line + b"\n"), Unavailable, watching=True)


def test_an_endless_message_is_cut(tmp_path: Path) -> None:
    answer = json_response(422, {"kind": "Status", "reason": "Invalid", "message": "no " * 100_000})
    assert len(str(raises(tmp_path, answer, Invalid))) <= 2000


def test_a_deep_object_is_skipped(tmp_path: Path) -> None:
    deep = '{"metadata": {"name": "p", "resourceVersion": "1"}, "spec": ' + '{"a":' * 900 + "1" + "}" * 900 + "}"
    page = f'{{"metadata": {{"resourceVersion": "9"}}, "items": [{deep}]}}'

    async def story() -> None:
        async with client_of(ScriptedServer([json_response(200, page)]), tmp_path) as client:
            assert len((await client.list(PODS)).items) <= 1

    asyncio.run(story())
