"""Faults injected through the admin port, as a client on a real socket sees them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.fake_vllm.processes import answers, running

LOAD = "/v1/load_lora_adapter"
SQL = {"lora_name": "sql", "lora_path": "acme/sql"}
Story = Callable[[httpx.AsyncClient, httpx.AsyncClient], Awaitable[None]]


def broken(story: Story, *flags: str) -> None:
    """Run `story` with a client of an engine and one of its admin port."""

    async def main() -> None:
        async with running(*flags) as (port, admin):
            base = f"http://127.0.0.1:{port}"
            async with httpx.AsyncClient(base_url=base, timeout=2) as client:
                await answers(client, "/version")
                await story(client, admin)

    asyncio.run(main())


async def ask(admin: httpx.AsyncClient, kind: str, **said: Any) -> int:
    response = await admin.post("/_faults", json={"kind": kind, **said})
    assert response.status_code == 201, response.text
    await asyncio.sleep(0.05)
    return int(response.json()["ids"][0])


def test_connection_refused_closes_the_port_until_the_fault_is_removed() -> None:
    async def story(client: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
        number = await ask(admin, "connection-refused")
        async with httpx.AsyncClient(base_url=client.base_url) as other:
            with pytest.raises(httpx.ConnectError):
                await other.get("/health")
            assert (await admin.delete(f"/_faults/{number}")).status_code == 204
            await answers(other, "/health")

    broken(story)


def test_a_reset_is_a_tcp_reset() -> None:
    async def story(client: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
        await ask(admin, "connection-reset", adapters=["sql"])
        with pytest.raises(httpx.ReadError):  # an orderly end would be a RemoteProtocolError
            await client.post(LOAD, json=SQL)
        assert (await client.post(LOAD, json={**SQL, "lora_name": "chat"})).status_code == 200

    broken(story)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"kind": "http-error", "status": 429}, 429),
        ({"kind": "unauthorized"}, 401),
        ({"kind": "invalid-adapter"}, 500),
        ({"kind": "out-of-memory", "adapters": ["s*"]}, 500),
    ],
)
def test_faults_that_answer(said: dict[str, Any], status: int) -> None:
    async def story(client: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
        await ask(admin, **said)
        assert (await client.post(LOAD, json=SQL)).status_code == status
        assert (await client.get("/health" if status == 401 else "/version")).status_code in (200, status)
        assert (await admin.delete("/_faults")).status_code == 204
        assert (await client.post(LOAD, json=SQL)).status_code == 200

    broken(story)


def test_a_request_that_is_accepted_is_never_answered() -> None:
    async def story(client: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
        await ask(admin, "timeout", callers=["controller"])
        with pytest.raises(httpx.ReadTimeout):
            await client.post(LOAD, json=SQL, timeout=0.2)
        assert (await client.get("/health")).status_code == 200

    broken(story)


def test_the_health_flaps_while_the_engine_continues() -> None:
    async def story(client: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
        await ask(admin, "readiness-flap", ready_for="100ms", unready_for="100ms")
        seen = set()
        for _ in range(40):
            seen.add((await client.get("/health")).status_code)
            await asyncio.sleep(0.02)
        assert seen == {200, 503}
        assert (await client.post(LOAD, json=SQL)).status_code == 200

    broken(story)


def test_an_engine_that_restarts_in_place_loses_its_adapters() -> None:
    async def story(client: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
        await client.post(LOAD, json=SQL)
        await ask(admin, "engine-restart", at="0s")
        await answers(client, "/health")
        listed = (await client.get("/v1/models")).json()["data"]
        assert [model["id"] for model in listed] == ["base"]

    broken(story)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"kind": "slwo"}, "did you mean 'slow'?"),
        ({"kind": "slow", "faktor": 2}, "unknown field 'faktor'"),
        ({"kind": "slow", "factor": "x"}, "must be number above 0"),
        ({"kind": "timeout", "from": "5s", "until": "1s"}, "the end is before the start"),
        ([], None),
        ("x", "a fault is a mapping"),
    ],
)
def test_the_admin_port_refuses_an_invalid_fault_with_the_reason(said: object, complaint: str | None) -> None:
    async def story(client: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
        response = await admin.post("/_faults", json=said)
        if complaint is None:
            assert response.json() == {"ids": []}
        else:
            assert response.status_code == 400
            assert complaint in response.json()["error"]
        assert (await admin.get("/_faults")).json()["faults"] == []

    broken(story)


def test_a_fault_of_the_command_line_is_listed_with_its_times() -> None:
    async def story(client: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
        (fault,) = (await admin.get("/_faults")).json()["faults"]
        assert (fault["kind"], fault["from"], fault["until"], fault["in_force"]) == ("slow", "1s", "60s", False)
        assert fault["factor"] == 3

    broken(story, "--fault", "slow,from=1s,until=1m,factor=3")


def test_the_same_seed_gives_the_same_random_faults() -> None:
    def statuses(seed: str) -> list[int]:
        met: list[int] = []

        async def story(client: httpx.AsyncClient, admin: httpx.AsyncClient) -> None:
            for _ in range(30):
                met.append((await client.post("/v1/completions", json={"prompt": "hi", "max_tokens": 1})).status_code)

        broken(story, "--seed", seed, "--fault", "http-error,status=503,probability=0.5,callers=traffic")
        return met

    first = statuses("5")
    assert statuses("5") == first
    assert set(first) == {200, 503}
    assert statuses("6") != first
