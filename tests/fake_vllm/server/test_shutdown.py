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
            last, aborted = "", False
            async for line in response.aiter_lines():
                begun.set()
                aborted |= '"finish_reason":"abort"' in line
                last = line or last
            return "cut short" if last != "data: [DONE]" else "aborted" if aborted else "whole"
    except httpx.TransportError as error:
        return type(error).__name__


def test_streams_end_within_the_shutdown_timeout_and_no_new_connection_is_accepted() -> None:
    async def story() -> None:
        async with engine("--shutdown-timeout", "20") as (process, client):
            begun = [asyncio.Event() for _ in range(STREAMS)]
            streams = [asyncio.create_task(streamed(client, SHORT, each)) for each in begun]
            await asyncio.gather(*(each.wait() for each in begun))
            process.send_signal(signal.SIGTERM)
            assert await asyncio.gather(*streams) == ["whole"] * STREAMS
            assert await asyncio.wait_for(process.wait(), 10) == 0
            with pytest.raises(httpx.ConnectError):
                await client.get("/health")
            assert process.stderr is not None
            assert await process.stderr.read() == b""

    asyncio.run(story())


@pytest.mark.parametrize("flags", [(), ("--shutdown-timeout", "1")])
def test_streams_are_aborted_when_there_is_no_time_left(flags: tuple[str, ...]) -> None:
    """By default they have none; recorded on vLLM 0.32.0."""

    async def story() -> None:
        async with engine("--emulate", "0.32.0", *flags) as (process, client):
            begun = [asyncio.Event() for _ in range(STREAMS)]
            streams = [asyncio.create_task(streamed(client, LONG, each)) for each in begun]
            await asyncio.gather(*(each.wait() for each in begun))
            process.send_signal(signal.SIGTERM)
            assert set(await asyncio.wait_for(asyncio.gather(*streams), 10)) == {"aborted"}
            assert await asyncio.wait_for(process.wait(), 5) == 0
            assert process.stderr is not None
            assert b"Traceback" not in await process.stderr.read()

    asyncio.run(story())


def test_in_older_releases_streams_hang_until_their_clients_go() -> None:
    """Recorded on vLLM 0.28.0 and 0.30.0."""

    async def story() -> None:
        async with engine("--emulate", "0.30.0") as (process, client):
            begun = asyncio.Event()
            stream = asyncio.create_task(streamed(client, LONG, begun))
            await begun.wait()
            process.send_signal(signal.SIGTERM)
            done, _ = await asyncio.wait((stream,), timeout=2)
            assert not done
            assert process.returncode is None
            stream.cancel()
            assert await asyncio.wait_for(process.wait(), 5) == 0

    asyncio.run(story())


@pytest.mark.parametrize("body", [LONG, {**LONG, "stream": False}])
def test_a_dead_engine_core_fails_requests_and_ends_the_process_with_code_0(body: dict[str, object]) -> None:
    """Recorded on vLLM 0.32.0: an error event in a stream, 500 for others, then no server any more."""

    async def story() -> None:
        async with engine("--fault", "engine-core-crash,at=2s") as (process, client):
            response = await client.post("/v1/completions", json=body)
            late = await client.post("/v1/completions", json=SHORT)
            assert "EngineCore encountered an issue" in response.text
            assert (response.status_code, late.status_code) == (200 if body["stream"] else 500, 500)
            assert response.text.endswith("data: [DONE]\n\n") == body["stream"]
            assert await asyncio.wait_for(process.wait(), 10) == 0

    asyncio.run(story())


def test_a_second_signal_ends_it_at_once() -> None:
    async def story() -> None:
        async with engine("--shutdown-timeout", "20") as (process, client):
            begun = asyncio.Event()
            stream = asyncio.create_task(streamed(client, LONG, begun))
            await begun.wait()
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 4) == 0
            assert await asyncio.wait_for(stream, 5) != "whole"

    asyncio.run(story())


def test_a_load_in_progress_does_not_keep_it_alive() -> None:
    async def story() -> None:
        async with engine("--emulate", "0.32.0", "--load-latency", "1h") as (process, client):
            load = asyncio.create_task(
                client.post("/v1/load_lora_adapter", json={"lora_name": "sql", "lora_path": "acme/sql"})
            )
            await asyncio.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            with pytest.raises(httpx.TransportError):
                await asyncio.wait_for(load, 10)
            assert await asyncio.wait_for(process.wait(), 5) == 0

    asyncio.run(story())


def test_a_client_that_reads_nothing_does_not_keep_it_alive() -> None:
    async def story() -> None:
        async with engine("--emulate", "0.32.0") as (process, client):
            reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port or 0)
            body = json.dumps(LONG).encode()
            head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await reader.read(10)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 10) == 0
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
