"""The activator: requests wait for an engine, and each gets an answer within the timeout. Over real sockets."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import msgspec
import pytest

from controller.activator import server
from controller.activator.activator import Activator
from controller.activator.wishes import Wishes
from controller.api.annotations import ActivationRecord, PersistedState, changes
from controller.api.labels import ACTIVATOR_LABEL, MANAGED_BY, MANAGER, NAME_LABEL
from controller.api.ownership import owner_reference
from controller.api.types import (
    Activation,
    Condition,
    Endpoint,
    EndpointPort,
    EndpointSlice,
    ModelAdapter,
    ModelAdapterStatus,
    ObjectMeta,
)
from controller.cache.cache import Cache
from tests.controller.builders import NOW, an_adapter
from tests.controller.fake_client import QUIET, FakeClient, FakeServer

MODEL = {"model": "sql", "prompt": "select"}


class World:
    """An activator over a cache that a test fills, and engines that a test invents."""

    def __init__(self, timeout: float = 30.0) -> None:
        self.woken: list[str] = []
        self.held = asyncio.Event()
        self.sent: list[httpx.Request] = []
        self.cache = Cache(FakeClient(FakeServer()), QUIET, lambda _: None, lambda *_: None)
        self.wishes = Wishes(self._wake)
        self.activator: Activator | None = Activator(self.cache, self.wishes, timeout)
        self.answer: Callable[[httpx.Request], httpx.Response] = lambda _: httpx.Response(200, json={"ok": True})

    def _wake(self, key: str) -> None:
        self.woken.append(key)
        self.held.set()

    def put(self, namespace: str = "default", *, active: bool = False, **status: Any) -> ModelAdapter:
        record = PersistedState(activation=ActivationRecord(active, NOW))
        made = an_adapter()
        adapter = msgspec.structs.replace(
            made,
            metadata=msgspec.structs.replace(
                made.metadata,
                namespace=namespace,
                annotations=changes(PersistedState(), record),
                resource_version=str(int(made.metadata.resource_version) + len(self.woken) + active),
            ),
            spec=msgspec.structs.replace(made.spec, activation=Activation(mode="OnDemand")),
            status=ModelAdapterStatus(**status),
        )
        self.cache.adapters.apply_local(adapter)
        return adapter

    def publish(self, adapter: ModelAdapter, *, activator: bool = False) -> None:
        labels = {NAME_LABEL: adapter.metadata.name, MANAGED_BY: MANAGER}
        item = EndpointSlice(
            metadata=ObjectMeta(
                name="sql-a" if activator else "sql-1",
                namespace=adapter.metadata.namespace,
                uid="u",
                resource_version="5",
                labels=labels | ({ACTIVATOR_LABEL: "true"} if activator else {}),
                owner_references=(owner_reference(adapter),),
            ),
            address_type="IPv4",
            endpoints=(Endpoint(addresses=("10.0.0.7",)),),
            ports=(EndpointPort(name="http", port=8000),),
        )
        self.cache.slices.apply_local(item)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        return self.answer(request)


class _Engines(httpx.AsyncBaseTransport):
    def __init__(self, world: World) -> None:
        self.handle_async_request = world.handle_async_request  # type: ignore[method-assign]


def ask(world: World, *stories: Callable[[World], Awaitable[None]], **request: Any) -> httpx.Response:
    """Send a request to the activator's socket while the stories go on; return its answer."""

    async def main() -> httpx.Response:
        serving = server.serve(lambda: world.activator, _Engines(world), ("127.0.0.1", 0), 1.0)
        async with serving as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            going = [asyncio.ensure_future(story(world)) for story in stories]
            answer = await client.request(**{"method": "POST", "url": "/v1/completions", "json": MODEL} | request)
            await asyncio.gather(*going)
            return answer

    return asyncio.run(main())


async def waits(world: World) -> None:
    """Return when the request is held."""
    async with asyncio.timeout(60):
        await world.held.wait()
        await asyncio.sleep(0)


def test_the_first_request_waits_until_the_adapter_is_published_and_is_passed_on_whole() -> None:
    world = World()
    adapter = world.put(phase="Idle")
    world.publish(adapter, activator=True)

    async def load(world: World) -> None:
        await waits(world)
        assert world.wishes.wanted("default/sql")
        assert not world.sent
        world.put(active=True, phase="Loading")
        assert not world.wishes.wanted("default/sql")
        world.publish(adapter)

    answer = ask(world, load, headers={"authorization": "Bearer key"}, params={"a": "b"})
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    (sent,) = world.sent
    assert str(sent.url) == "http://10.0.0.7:8000/v1/completions?a=b"
    assert sent.headers["authorization"] == "Bearer key"
    assert sent.content == httpx.Request("POST", "http://x", json=MODEL).content


def test_a_stream_is_passed_on_as_it_comes() -> None:
    world = World()
    world.publish(world.put(active=True, phase="Running"))

    async def chunks() -> Any:
        yield b"data: one\n\n"
        yield b"data: [DONE]\n\n"

    world.answer = lambda _: httpx.Response(200, content=chunks(), headers={"content-type": "text/event-stream"})
    answer = ask(world)
    assert answer.text == "data: one\n\ndata: [DONE]\n\n"
    assert answer.headers["content-type"] == "text/event-stream"


def test_beyond_the_time_limit_the_client_is_told_when_to_come_again_and_the_wish_stays() -> None:
    world = World(timeout=0.05)
    world.put(phase="Idle")
    answer = ask(world)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["error"]["message"] == "The model `sql` is still being loaded: try again."
    assert world.wishes.wanted("default/sql")


async def lose_the_lead(world: World) -> None:
    await waits(world)
    assert world.activator is not None
    world.activator.close()


async def fail(world: World) -> None:
    await waits(world)
    ready = Condition(type="Ready", status="False", reason="ArtifactNotFound", message="no such repository")
    world.put(active=True, phase="Failed", conditions=(ready,))


async def switch_to_always(world: World) -> None:
    await waits(world)
    adapter = world.put(active=True, phase="Idle")
    world.cache.adapters.apply_local(
        msgspec.structs.replace(
            adapter,
            metadata=msgspec.structs.replace(adapter.metadata, resource_version="99"),
            spec=msgspec.structs.replace(adapter.spec, activation=Activation()),
        )
    )


@pytest.mark.parametrize(
    ("story", "status", "text"),
    [
        (lose_the_lead, 503, "does not lead any more"),
        (fail, 503, "cannot be loaded: no such repository"),
        (switch_to_always, 404, "is not loaded on demand"),
    ],
)
def test_a_request_that_waits_in_vain_is_answered_at_once(story: Any, status: int, text: str) -> None:
    world = World()
    world.put(phase="Idle")
    answer = ask(world, story)
    assert answer.status_code == status
    assert text in answer.json()["error"]["message"]
    assert not world.sent


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"json": {"model": "other"}}, 404),
        ({"content": b"{"}, 400),
        ({"json": None, "content": b"[]"}, 400),
        ({"json": {"model": 7}}, 400),
        ({"content": b'{"a":' * 20_000}, 400),
        ({"content": b'{"model": "\\ud800"}'}, 404),
        ({"content": b"x" * ((8 << 20) + 1)}, 413),
        ({"method": "GET", "url": "/health"}, 200),
    ],
)
def test_other_requests_have_their_answer(request_: dict[str, Any], status: int) -> None:
    world = World()
    world.put(phase="Idle")
    assert ask(world, **({"json": None} if "content" in request_ else {}) | request_).status_code == status
    assert not world.woken


@pytest.mark.parametrize("host", [b"[::1", b"a b", b"\xff", b"u@h:x", b"sql.default.svc"])
def test_odd_headers_and_paths_are_passed_on_as_they_are(host: bytes) -> None:
    world = World()
    world.publish(world.put(active=True, phase="Running"))
    answer = ask(world, url="/v1/%00completions?a=%zz", headers=[(b"host", host), (b"x-odd", b"\xe9")])
    assert answer.status_code == 200
    (sent,) = world.sent
    assert sent.url.raw_path == b"/v1/%00completions?a=%zz"
    assert (b"x-odd", b"\xe9") in sent.headers.raw


def test_adapters_of_one_name_are_told_apart_by_the_service() -> None:
    world = World()
    for namespace in ("default", "team"):
        adapter = world.put(namespace, active=True, phase="Running")
    world.publish(adapter)
    assert ask(world).status_code == 409
    assert ask(world, headers={"host": "sql.team.svc.cluster.local:8000"}).status_code == 200


def test_an_engine_that_does_not_answer_is_a_bad_gateway() -> None:
    world = World()
    world.publish(world.put(active=True, phase="Running"))

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    world.answer = refuse
    assert ask(world).status_code == 502


def test_a_replica_that_does_not_lead_says_so() -> None:
    world = World()
    world.activator = None
    answer = ask(world)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
