"""Completions over the simulated network: without HTTP, and as an HTTP client requests them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from fake_vllm.distributions import Constant
from fake_vllm.engine.engine import EngineError
from fake_vllm.faults.rules import FaultRule
from twin.kernel import loop
from twin.kernel.random_streams import Streams
from twin.trace.recorder import Recorder
from twin.world.network.transport import Network, NetworkTransport

HITS = ("traffic",)


def at_rest(cluster: Any, story: Callable[[NetworkTransport, Any], Awaitable[None]]) -> None:
    """Run `story` with the only pod once its engine listens and has the adapter `sql`."""
    cluster.deploy()
    recorder = Recorder(lambda: cluster.env.now, ())
    network = Network(cluster.env, cluster.world.hosts.get, Streams(1), recorder, Constant(0.001))

    async def main() -> None:
        await asyncio.sleep(100)
        await cluster.host().engine.load("sql", "/models/sql")
        await story(network.transport("gateway", "traffic"), cluster.host())

    loop.run(main(), cluster.env)


def test_an_adapter_answers_without_any_http(cluster: Any) -> None:
    async def story(network: NetworkTransport, host: Any) -> None:
        began = cluster.env.now
        done = await network.complete((host.ip, host.port), "sql", 256, 64)
        assert (done.model, done.prompt_tokens, done.output_tokens) == ("sql", 256, 64)
        assert cluster.env.now - began == pytest.approx(done.seconds + 0.001)

    at_rest(cluster, story)


def test_only_the_port_that_the_engine_listens_on_answers(cluster: Any) -> None:
    async def story(network: NetworkTransport, host: Any) -> None:
        async with httpx.AsyncClient(transport=network) as client:
            assert (await client.get(f"http://{host.ip}:8000/v1/models")).status_code == 200
            for elsewhere in (":8001", ":8080", ""):
                with pytest.raises(httpx.ConnectError, match="refused"):
                    await client.get(f"http://{host.ip}{elsewhere}/v1/models")

    at_rest(cluster, story)


def test_a_pod_without_the_adapter_returns_an_error(cluster: Any) -> None:
    async def story(network: NetworkTransport, host: Any) -> None:
        with pytest.raises(EngineError) as refused:
            await network.complete((host.ip, host.port), "chat", 256, 64)
        assert (refused.value.status, refused.value.param) == (404, "model")

    at_rest(cluster, story)


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        (FaultRule("connection-refused", HITS), httpx.ConnectError),
        (FaultRule("connection-reset", HITS), httpx.ReadError),
        (FaultRule("connection-reset", HITS, after=True), httpx.ReadError),
        (FaultRule("timeout", HITS, adapters=("sq*",)), httpx.ReadTimeout),
        (FaultRule("http-error", HITS, status=429), EngineError),
        (FaultRule("slow", HITS, factor=1000.0), httpx.ReadTimeout),
    ],
)
@pytest.mark.parametrize("over_http", [False, True])
def test_faults_that_hit_traffic_are_seen_as_a_client_sees_them(
    cluster: Any, rule: FaultRule, error: type[Exception], over_http: bool
) -> None:
    async def story(network: NetworkTransport, host: Any) -> None:
        host.faults.add(rule)
        ask = posted if over_http else plain
        with pytest.raises(error):
            await ask(network, host)

    async def plain(network: NetworkTransport, host: Any) -> None:
        await network.complete((host.ip, host.port), "sql", 256, 64, timeout=20.0)

    async def posted(network: NetworkTransport, host: Any) -> None:
        async with httpx.AsyncClient(transport=network, base_url=f"http://{host.ip}:8000", timeout=20.0) as client:
            body = {"model": "sql", "prompt": "x" * 1024, "max_tokens": 64}
            answer = await client.post("/v1/completions", json=body)
        if answer.status_code != 200:
            raise EngineError(answer.status_code, "", answer.text)

    at_rest(cluster, story)


def test_faults_of_other_adapters_and_of_the_controller_leave_traffic_alone(cluster: Any) -> None:
    async def story(network: NetworkTransport, host: Any) -> None:
        host.faults.add(FaultRule("timeout", HITS, adapters=("chat",)))
        host.faults.add(FaultRule("connection-refused"))
        await network.complete((host.ip, host.port), "sql", 1, 1)

    at_rest(cluster, story)


def test_a_machine_that_is_not_there_does_not_answer(cluster: Any) -> None:
    async def story(network: NetworkTransport, host: Any) -> None:
        with pytest.raises(httpx.ConnectTimeout):
            await network.complete(("10.255.0.1", 8000), "sql", 1, 1, timeout=3.0)

    at_rest(cluster, story)


def test_an_engine_that_dies_breaks_a_stream_off(cluster: Any) -> None:
    async def story(network: NetworkTransport, host: Any) -> None:
        asyncio.get_running_loop().call_later(5.0, cluster.world.restart_engine, cluster.name())
        body = {"model": "sql", "prompt": "hi", "max_tokens": 4000, "stream": True, "ignore_eos": True}
        async with httpx.AsyncClient(transport=network, base_url=f"http://{host.ip}:8000") as client:
            request = client.build_request("POST", "/v1/completions", json=body)
            answer = await client.send(request, stream=True)
            assert answer.status_code == 200
            with pytest.raises(httpx.RemoteProtocolError, match="peer closed"):
                await answer.aread()

    at_rest(cluster, story)


def test_a_stream_that_is_left_ends_on_the_engine(cluster: Any) -> None:
    async def story(network: NetworkTransport, host: Any) -> None:
        body = {"model": "sql", "prompt": "hi", "max_tokens": 4000, "stream": True, "ignore_eos": True}
        async with httpx.AsyncClient(transport=network, base_url=f"http://{host.ip}:8000") as client:
            async with client.stream("POST", "/v1/completions", json=body) as answer:
                async for _ in answer.aiter_lines():
                    break
            await asyncio.sleep(1.0)
            assert not host.engine.runner.scheduler.running

    at_rest(cluster, story)
