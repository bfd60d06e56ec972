"""Shutdown of a real process: on a signal, during streams, during a load, on a second signal."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from fake_vllm.server.socket_server import GRACE
from tests.fake_vllm.processes import UPDATING, answers
from tests.ports import free_port

STREAMS = 20
LONG = {"model": "base", "prompt": "hi", "stream": True, "ignore_eos": True, "max_tokens": 30_000}
SHORT = {**LONG, "max_tokens": 200}


@asynccontextmanager
async def engine(*flags: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, httpx.AsyncClient]]:
    """Start a process; yield it and a client."""
    port = free_port()
    words = ["serve", "base", "--enable-lora", "--host", "127.0.0.1", "--port", str(port), *flags]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fake_vllm", *words, env={**os.environ, **UPDATING}, stderr=asyncio.subprocess.PIPE
    )
    limits = httpx.Limits(max_connections=None)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, limits=limits) as client:
            await answers(client, "/health")
            yield process, client
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def streamed(client: httpx.AsyncClient, body: dict[str, object], begun: asyncio.Event) -> str:
    """Return the end of a stream as its client sees it."""
    try:
        async with client.stream("POST", "/v1/completions", json=body) as response:
            last = ""
            async for line in response.aiter_lines():
                begun.set()
                last = line or last
            return "whole" if last == "data: [DONE]" else "cut short"
    except httpx.TransportError as error:
        return type(error).__name__


def test_streams_end_within_the_grace_period_and_no_new_connection_is_accepted() -> None:
    async def story() -> None:
        async with engine() as (process, client):
            begun = [asyncio.Event() for _ in range(STREAMS)]
            streams = [asyncio.create_task(streamed(client, SHORT, each)) for each in begun]
            await asyncio.gather(*(each.wait() for each in begun))
            process.send_signal(signal.SIGTERM)
            assert await asyncio.gather(*streams) == ["whole"] * STREAMS
            assert await asyncio.wait_for(process.wait(), GRACE + 5) == 0
            with pytest.raises(httpx.ConnectError):
                await client.get("/health")
            assert process.stderr is not None
            assert await process.stderr.read() == b""

    asyncio.run(story())


def test_longer_streams_are_reset_after_the_grace_period() -> None:
    async def story() -> None:
        async with engine() as (process, client):
            begun = [asyncio.Event() for _ in range(STREAMS)]
            streams = [asyncio.create_task(streamed(client, LONG, each)) for each in begun]
            await asyncio.gather(*(each.wait() for each in begun))
            process.send_signal(signal.SIGTERM)
            ends = await asyncio.wait_for(asyncio.gather(*streams), GRACE + 5)
            assert set(ends) <= {"cut short", "RemoteProtocolError", "ReadError"}
            assert await asyncio.wait_for(process.wait(), 5) == 0
            assert process.stderr is not None
            assert b"Traceback" not in await process.stderr.read()

    asyncio.run(story())


def test_a_second_signal_ends_it_at_once() -> None:
    async def story() -> None:
        async with engine() as (process, client):
            begun = asyncio.Event()
            stream = asyncio.create_task(streamed(client, LONG, begun))
            await begun.wait()
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), GRACE - 1) == 0
            assert await asyncio.wait_for(stream, 5) != "whole"

    asyncio.run(story())


def test_a_load_in_progress_delays_the_end_by_the_grace_period_at_most() -> None:
    async def story() -> None:
        async with engine("--load-latency", "1h") as (process, client):
            load = asyncio.create_task(
                client.post("/v1/load_lora_adapter", json={"lora_name": "sql", "lora_path": "acme/sql"})
            )
            await asyncio.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            with pytest.raises(httpx.TransportError):
                await asyncio.wait_for(load, GRACE + 5)
            assert await asyncio.wait_for(process.wait(), 5) == 0

    asyncio.run(story())


def test_a_client_that_reads_nothing_does_not_keep_it_alive() -> None:
    async def story() -> None:
        async with engine() as (process, client):
            reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port or 0)
            body = json.dumps(LONG).encode()
            head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await reader.read(10)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), GRACE + 5) == 0
            writer.close()

    asyncio.run(story())


@pytest.mark.parametrize(("fault", "code"), [("crash,code=7,at=2s", 7), ("crash,signal=9,at=2s", -9)])
def test_a_crash_of_the_command_line_ends_the_process_with_its_code_or_signal(fault: str, code: int) -> None:
    async def story() -> None:
        async with engine("--fault", fault) as (process, _):
            assert await asyncio.wait_for(process.wait(), 10) == code

    asyncio.run(story())


def test_faults_of_a_file_come_and_go_by_its_times(tmp_path: Path) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text(
        "- {kind: http-error, status: 418, callers: [traffic], until: 1s}\n"
        "- {kind: slow, factor: 30, callers: [controller], from: 1s}\n"
    )

    async def story() -> None:
        async with engine("--faults", str(file), "--load-latency", "10ms") as (_, client):
            loop = asyncio.get_running_loop()
            body = {"model": "base", "prompt": "hi", "max_tokens": 1}
            assert (await client.post("/v1/completions", json=body)).status_code == 418
            await asyncio.sleep(1.2)
            assert (await client.post("/v1/completions", json=body)).status_code == 200
            began = loop.time()
            loaded = await client.post("/v1/load_lora_adapter", json={"lora_name": "a", "lora_path": "acme/a"})
            assert loaded.status_code == 200
            assert loop.time() - began >= 0.3

    asyncio.run(story())
