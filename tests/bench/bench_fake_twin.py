"""The fake engine in the simulation: completions per second with the network's transport, without HTTP, and in process.

The last three rows compare the handlers alone, which the simulation calls, with the application behind a socket, whose
requests for completions take the short path, and with the same requests through FastAPI.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import simpy

from fake_vllm.distributions import Constant
from fake_vllm.engine.context import Randomness
from fake_vllm.engine.engine import Engine, EngineConfig
from fake_vllm.engine.timing import EngineTimes
from fake_vllm.faults.effects import FaultRules
from fake_vllm.flavors import flavor_of
from fake_vllm.router import Request, handle
from fake_vllm.server.asgi import AsgiApp
from twin.kernel import loop
from twin.kernel.random_streams import Streams
from twin.world.network.link import Link
from twin.world.network.transport import Network, NetworkTransport

CLIENTS, EACH = 64, 200
ADAPTERS = tuple((f"a{number}", f"/a{number}") for number in range(8))


def measure() -> dict[str, float]:
    """Figures for `make bench`."""
    body = json.dumps({"model": "a1", "prompt": "x" * 1024, "max_tokens": 64}).encode()
    headers = {"content-type": "application/json"}

    async def posted(network: NetworkTransport, client: int) -> None:
        request = httpx.Request("POST", "http://10.0.0.1:8000/v1/completions", content=body, headers=headers)
        response = await network.handle_async_request(request)
        assert response.status_code == 200

    async def plain(network: NetworkTransport, client: int) -> None:
        await network.complete(("10.0.0.1", 8000), f"a{client % 8}", 256, 64)

    return {
        "simulated through the transport: completions a CPU second": rate(posted),
        "simulated without HTTP: completions a CPU second": rate(plain),
        "handlers alone: completions a CPU second": handled(body, headers),
        "short path of a socket: completions a CPU second": handled(body, headers, AsgiApp(an_engine())),
        "through FastAPI: completions a CPU second": handled(body, headers, AsgiApp(an_engine(), direct=())),
    }


def handled(body: bytes, headers: dict[str, str], app: AsgiApp | None = None) -> float:
    """Return the completions a second of CPU, one after another, from `app` or from the handlers alone."""
    engine = an_engine()

    async def from_app(app: AsgiApp) -> None:
        messages: list[Any] = [{"type": "http.request", "body": body}]
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop() if messages else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v1/completions", "query_string": b"", "root_path": ""}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await app({**scope, "headers": raw, "http_version": "1.1", "scheme": "http"}, receive, send)
        assert sent[0]["status"] == 200

    async def story() -> None:
        for _ in range(CLIENTS * EACH // 4):
            if app is not None:
                await from_app(app)
            else:
                await handle(engine, Request("POST", "/v1/completions", headers, body))

    began = time.process_time()
    loop.run(story())
    return CLIENTS * EACH / 4 / (time.process_time() - began)


def rate(ask: Callable[[NetworkTransport, int], Awaitable[None]]) -> float:
    """Return the requests per CPU second of clients that send the next request as soon as they have a response."""

    async def story() -> None:
        transport = a_network().transport("gateway", "traffic")

        async def client(number: int) -> None:
            for _ in range(EACH):
                await ask(transport, number)

        await asyncio.gather(*(client(number) for number in range(CLIENTS)))

    began = time.process_time()
    loop.run(story())
    return CLIENTS * EACH / (time.process_time() - began)


def an_engine() -> Engine:
    """Return an engine with eight adapters."""
    config = EngineConfig(enable_lora=True, max_loras=8, lora_modules=ADAPTERS)
    return Engine(
        config, flavor_of(config), EngineTimes(Constant(0.5), Constant(0.0)), Randomness(np.random.default_rng(0))
    )


def a_network() -> Network:
    """Return a network with one engine."""
    chance = np.random.default_rng(0)
    host: Any = SimpleNamespace(
        engine=an_engine(),
        faults=FaultRules(),
        rng=chance,
        traffic_rng=chance,
        reachable=True,
        listening=True,
        link=Link(),
        pod="a",
        port=8000,
    )
    recorder: Any = SimpleNamespace(now=lambda: 0.0, count=lambda _: None)
    return Network(simpy.Environment(), lambda _: host, Streams(0), recorder, Constant(0.001))
