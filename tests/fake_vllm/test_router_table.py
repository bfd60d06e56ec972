"""The table of router cases, compared with the simulated network's transport, with a socket and with FastAPI."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
import simpy
import uvicorn

from fake_vllm.distributions import Constant
from fake_vllm.engine.context import EngineContext, Randomness
from fake_vllm.engine.engine import Artifact, Engine, EngineConfig
from fake_vllm.engine.timing import EngineTimes, StepTimeModel
from fake_vllm.faults.effects import FaultRules
from fake_vllm.flavors import flavor_of
from fake_vllm.server.asgi import DIRECT, AsgiApp
from tests.fake_vllm.router_cases import CASES, NOW, Case
from tests.fake_vllm.sglang.cases import SGLANG_CASES
from twin.kernel import loop
from twin.kernel.random_streams import Streams
from twin.world.network.link import Link
from twin.world.network.transport import Network

FOUND = {"acme/huge": Artifact(rank=64), "acme/broken": Artifact(broken="bad header"), "nowhere": None}
ALL = (*CASES, *SGLANG_CASES)
QUICK = StepTimeModel(step_base=0.0005, per_sequence=0.0, per_prefill_token=0.0)


def an_engine(case: Case) -> Engine:
    """Return the engine of a case; its clock stands still, so that responses can be compared."""
    usual = {
        "served_model_names": ("base",),
        "model": "acme/base",
        "max_model_len": 4096,
        "enable_lora": True,
        "max_loras": 8,
        "runtime_updating": True,
        "lora_modules": (("held", "/held"),),
    }
    config = EngineConfig(**{**usual, **case.settings})
    engine = Engine(
        config,
        flavor_of(config),
        EngineTimes(Constant(0.0), Constant(0.0), QUICK),
        Randomness(np.random.default_rng(0)),
        EngineContext(find_artifact=lambda path: FOUND.get(path, Artifact()), created=NOW),
    )
    engine.now = lambda: NOW  # type: ignore[method-assign]
    return engine


async def response_to(client: httpx.AsyncClient, case: Case) -> tuple[int, dict[str, str], bytes]:
    """Return status, relevant headers, and body."""
    response = await client.request(case.method, case.path, content=case.raw, headers=case.sent)
    ours = {name: value for name, value in response.headers.items() if name in ("content-type", "allow", "x-tokenizer")}
    return response.status_code, ours, response.content


async def in_process(case: Case) -> tuple[int, dict[str, str], bytes]:
    """Return the response through the simulated network."""
    chance = np.random.default_rng(0)
    host: Any = SimpleNamespace(
        engine=an_engine(case), faults=FaultRules(), rng=chance, traffic_rng=chance, reachable=True, listening=True,
        pod="default/a", container_id="c", port=8000, link=Link(),
    )  # fmt: skip
    recorder: Any = SimpleNamespace(now=lambda: 0.0, count=lambda _: None, emit=lambda _: None)
    network = Network(simpy.Environment(), lambda _: host, Streams(0), recorder, Constant(0.001))
    async with httpx.AsyncClient(transport=network.transport("tester"), base_url="http://10.0.0.1:8000") as client:
        return await response_to(client, case)


class Replaceable:
    """An application that passes requests on to another one, which may change."""

    current: AsgiApp

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.current(scope, receive, send)


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[str]:
    """Serve an application on a socket; yield its address."""
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="critical", timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


Answers = dict[str, tuple[int, dict[str, str], bytes]]


@pytest.fixture(scope="module")
def on_sockets() -> Answers:
    """Responses of a server on a socket, by case."""
    return asyncio.run(all_answers(DIRECT))


@pytest.fixture(scope="module")
def through_fastapi() -> Answers:
    """Responses of a server that passes every request through FastAPI, by case."""
    return asyncio.run(all_answers(()))


async def all_answers(direct: Collection[str]) -> Answers:
    """Return the responses to all cases, each from an engine of its own behind one listener."""
    answers = {}
    app = Replaceable()
    async with listening(app) as url, httpx.AsyncClient(base_url=url) as client:
        for case in ALL:
            app.current = AsgiApp(an_engine(case), direct=direct)
            answers[case.name] = await response_to(client, case)
    return answers


def test_the_table_is_large_and_every_case_has_a_name_and_a_source() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in ALL}) == len(ALL)
    assert all(case.source for case in ALL)


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_the_simulation_a_socket_and_fastapi_give_the_bytes_of_the_table(
    case: Case, on_sockets: Answers, through_fastapi: Answers
) -> None:
    status, headers, body = loop.run(in_process(case))
    assert (status, headers) == (case.status, dict(case.replied))
    assert decoded(body, case) == case.answer
    assert on_sockets[case.name] == (status, headers, body)
    assert through_fastapi[case.name] == (status, headers, body)


def decoded(body: bytes, case: Case) -> object:
    """Return the body in the form of the table."""
    if isinstance(case.answer, bytes):
        return body
    if isinstance(case.answer, list):
        events = [line.removeprefix("data: ") for line in body.decode().split("\n\n") if line]
        return [event if event == "[DONE]" else json.loads(event) for event in events]
    return json.loads(body)
