"""The fake on real sockets: the application with faults, and the command."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn

from fake_vllm.distributions import Constant
from fake_vllm.engine.context import Randomness
from fake_vllm.engine.engine import Engine, EngineConfig
from fake_vllm.engine.timing import EngineTimes
from fake_vllm.faults.effects import FaultRules
from fake_vllm.faults.rules import FaultRule
from fake_vllm.flavors import flavor_of
from fake_vllm.main import main
from fake_vllm.server.asgi import AsgiApp
from tests.ports import free_port

LOAD = "/v1/load_lora_adapter"
BODY = {"lora_name": "sql", "lora_path": "acme/sql"}


def an_engine(load: float = 0.0, **settings: Any) -> Engine:
    config = EngineConfig(**{"enable_lora": True, "runtime_updating": True, **settings})
    return Engine(
        config, flavor_of(config), EngineTimes(Constant(load), Constant(0.0)), Randomness(np.random.default_rng(0))
    )


@asynccontextmanager
async def served(engine: Engine, *rules: FaultRule) -> AsyncIterator[httpx.AsyncClient]:
    """Serve `engine` on a socket with these faults; yield a client."""
    faults = FaultRules()
    for rule in rules:
        faults.add(rule)
    app = AsgiApp(engine, faults, draw=np.random.default_rng(0).random)
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        task = asyncio.create_task(server.serve(sockets=[listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=url, timeout=5) as client:
            try:
                yield client
            finally:
                server.should_exit = True
                await task


def test_a_socket_gives_the_responses_of_the_router() -> None:
    async def story() -> None:
        async with served(an_engine(api_keys=("sk-one",))) as client:
            assert (await client.get("/health")).status_code == 200
            refused = await client.get("/v1/models")
            assert (refused.status_code, refused.json()) == (401, {"error": "Unauthorized"})
            key = {"Authorization": "Bearer sk-one"}
            loaded = await client.post(LOAD, json=BODY, headers=key)
            assert loaded.text == "Success: LoRA adapter 'sql' added successfully."
            assert "content-type" not in loaded.headers
            missing = await client.get("/nowhere")
            assert (missing.status_code, missing.json()) == (404, {"detail": "Not Found"})
            wrong = await client.delete("/v1/models", headers=key)
            assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET")

    asyncio.run(story())


@pytest.mark.parametrize(
    ("rule", "loaded"),
    [
        (FaultRule("connection-refused"), False),
        (FaultRule("connection-reset"), False),
        (FaultRule("connection-reset", after=True), True),
    ],
)
def test_a_lost_connection_has_no_response(rule: FaultRule, loaded: bool) -> None:
    async def story() -> None:
        engine = an_engine()
        async with served(engine, rule) as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.post(LOAD, json=BODY)
        assert ("sql" in engine.adapters) is loaded

    asyncio.run(story())


def test_a_request_that_hangs_is_not_processed() -> None:
    async def story() -> None:
        engine = an_engine()
        async with served(engine, FaultRule("timeout")) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.post(LOAD, json=BODY, timeout=0.05)
        assert engine.adapters == {}

    asyncio.run(story())


def test_faults_that_answer_and_faults_that_delay() -> None:
    async def story() -> None:
        async with served(an_engine(), FaultRule("slow", factor=2.0), FaultRule("invalid-adapter")) as client:
            assert (await client.post(LOAD, json=BODY)).status_code == 500
            assert (await client.get("/v1/models")).status_code == 200

    asyncio.run(story())


def test_a_container_that_stops_resets_its_connections() -> None:
    async def story() -> None:
        engine = an_engine(load=60.0)
        async with served(engine) as client:
            asyncio.get_running_loop().call_later(0.1, engine.close)
            with pytest.raises(httpx.RemoteProtocolError):
                await client.post(LOAD, json=BODY)

    asyncio.run(story())


def test_faults_need_a_random_source() -> None:
    with pytest.raises(ValueError, match="draw"):
        AsgiApp(an_engine(), FaultRules())


def command(*arguments: str, **env: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "fake_vllm", *arguments]
    return subprocess.Popen(words, env={**os.environ, **env}, stderr=subprocess.PIPE, text=True)


def test_the_command_starts_an_engine_that_loads_adapters() -> None:
    async def story(url: str) -> None:
        transport = httpx.AsyncHTTPTransport()
        async with httpx.AsyncClient(base_url=url, transport=transport) as client:
            for _ in range(200):
                try:
                    await client.get("/health")
                    break
                except httpx.ConnectError:  # as with a real one: nothing listens until it has started
                    await asyncio.sleep(0.05)
            assert (await client.post(LOAD, json=BODY)).status_code == 200
            listed = (await client.get("/v1/models")).json()["data"]
            assert [(m["id"], m["root"]) for m in listed] == [("base", "acme/base"), ("sql", "acme/sql")]
            assert (await client.get("/version")).json() == {"version": "0.28.0"}

    port = free_port()
    arguments = (
        f"serve acme/base --served-model-name base --enable-lora --gpu-memory-utilization 0.9 --host 127.0.0.1"
        f" --port {port} --startup 100ms --load-latency 10ms --emulate 0.28.0"
    )
    process = command(*arguments.split(), VLLM_ALLOW_RUNTIME_LORA_UPDATING="true")
    try:
        asyncio.run(story(f"http://127.0.0.1:{port}"))
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=10)
    assert "Traceback" not in errors


def test_the_command_refuses_what_vllm_would_not_start_with() -> None:
    process = command("--enable-lora", "--max-loras", "4", "--max-cpu-loras", "2")
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 1
    assert errors == "fake-vllm: error: max_cpu_loras (2) must be >= max_loras (4).\n"


def test_the_command_prints_its_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["fake-vllm", "--version"])
    main()
    assert capsys.readouterr().out == f"fake-vllm {version('lora-twin')}\n"
