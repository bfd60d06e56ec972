"""Hostile and broken clients on real sockets: other clients are still served, and memory is bounded."""

import asyncio
import json
import resource
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fake_vllm.server.asgi import LARGEST_BODY
from fake_vllm.server.socket_server import raise_file_limit
from tests.fake_vllm.openai.strategies import Asked, requests
from tests.fake_vllm.openai.test_any_request import an_engine, document
from tests.fake_vllm.server.test_shutdown import engine

COMPLETE, LOAD = "/v1/completions", "/v1/load_lora_adapter"
MEMORY = 120
"""Allowed growth of a process, in MB."""
JSON = {"content-type": "application/json"}
QUICK = "timing: {step_base: 100us, per_sequence: 0us, per_prefill_token: 0us}"
Story = Callable[[httpx.AsyncClient, int], Awaitable[None]]


def run_against_process(story: Story, *flags: str) -> None:
    """Run `story` with a client of a process and the process id."""

    async def main() -> None:
        async with engine("--max-model-len", "512", *flags) as (process, client):
            await story(client, process.pid)
            assert (await client.get("/health")).status_code == 200
            process.terminate()
            await asyncio.wait_for(process.wait(), 10)
            assert process.stderr is not None
            assert await process.stderr.read() == b""

    asyncio.run(main())


def resident(pid: int) -> float:
    """Return the resident memory in MB; 0 where the system does not report it."""
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else ["VmRSS 0"]
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def heading(length: int) -> bytes:
    """Return the head of a completion request."""
    about = "Host: x\r\nContent-Type: application/json\r\n"
    return f"POST {COMPLETE} HTTP/1.1\r\n{about}Content-Length: {length}\r\n\r\n".encode()


async def raw(client: httpx.AsyncClient, sent: bytes) -> bytes:
    """Return the bytes until the server closes the connection or sends nothing more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port or 0)
    writer.write(sent)
    try:
        return await asyncio.wait_for(reader.read(65536), 0.3)
    except (TimeoutError, ConnectionResetError):
        return b""
    finally:
        writer.close()


def test_a_slice_of_any_requests_on_sockets(tmp_path: Path) -> None:
    times = tmp_path / "times.yaml"
    times.write_text(QUICK)
    slice_of_all: list[Asked] = []

    @settings(max_examples=15, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(requests(document(an_engine())), min_size=20, max_size=20))
    def is_asked(batch: list[Asked]) -> None:
        slice_of_all.extend(batch)

    async def story(client: httpx.AsyncClient, pid: int) -> None:
        for asked in slice_of_all:
            headers = {name: value.encode("latin-1") for name, value in asked.headers.items()}
            sent = client.build_request(asked.method, "/", headers=headers, content=asked.body)
            sent.url = sent.url.copy_with(raw_path=quote(asked.path, errors="replace").encode())
            response = await client.send(sent)
            assert response.status_code < 500 or "File name too long" in response.text, asked  # vLLM answers so too
            assert "Traceback" not in response.text, asked

    is_asked()
    run_against_process(story, "--emulate", "0.32.0", "--parameters", str(times))


NO_HTTP = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /health HTTP/1.1\r\n\r\n" * 50,
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(5000)) + b"\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x00" * 1000,
    b"\r\n\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://elsewhere/health HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /%ff%00%2e%2e HTTP/1.1\r\nHost: x\r\n\r\n",
]


def test_bytes_that_are_not_http_get_no_500() -> None:
    async def story(client: httpx.AsyncClient, pid: int) -> None:
        answers = await asyncio.gather(*(raw(client, sent) for sent in NO_HTTP))
        for sent, answer in zip(NO_HTTP, answers, strict=True):
            assert not answer.startswith(b"HTTP/1.1 5"), sent

    run_against_process(story)


@pytest.mark.skipif(resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 4096, reason="too few files may be open")
def test_a_thousand_idle_and_a_hundred_slow_connections_delay_no_other() -> None:
    raise_file_limit()

    async def story(client: httpx.AsyncClient, pid: int) -> None:
        before = resident(pid)
        port = client.base_url.port or 0
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(1000)]
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(100)]
        for number, (_, writer) in enumerate(slow):
            writer.write(heading(999)[: 10 + number] if number % 2 else heading(999) + b"{")
        asked = {"model": "base", "prompt": "hi", "max_tokens": 2}
        answers = await asyncio.gather(*(client.post(COMPLETE, json=asked) for _ in range(50)))
        assert {answer.status_code for answer in answers} == {200}
        assert resident(pid) - before < MEMORY
        for _, writer in [*idle, *slow]:
            writer.close()

    run_against_process(story)


def test_huge_bodies_are_refused_one_by_one_and_all_together() -> None:
    async def story(client: httpx.AsyncClient, pid: int) -> None:
        before = resident(pid)
        huge = b'{"prompt": "' + b"x" * LARGEST_BODY + b'"}'
        answers = await asyncio.gather(*(posted(client, huge) for _ in range(5)))
        assert set(answers) <= {413, 0}  # 0: the server closes while the client still writes
        large = b'{"prompt": [' + b"1," * (LARGEST_BODY // 4) + b"1]}"
        answers = await asyncio.gather(*(posted(client, large) for _ in range(9)))
        assert set(answers) <= {400, 413, 0}
        assert resident(pid) - before < 4 * MEMORY

    run_against_process(story)


async def posted(client: httpx.AsyncClient, body: bytes) -> int:
    try:
        return (await client.post(COMPLETE, content=body, headers=JSON)).status_code
    except httpx.TransportError:
        return 0


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_json_that_is_nested_too_deeply_is_refused(opening: bytes) -> None:
    async def story(client: httpx.AsyncClient, pid: int) -> None:
        for path in (COMPLETE, LOAD):
            response = await client.post(path, content=opening * 1_000_000, headers=JSON)
            assert response.status_code == 400

    run_against_process(story)


def test_a_client_that_disconnects_leaves_no_work_behind() -> None:
    async def story(client: httpx.AsyncClient, pid: int) -> None:
        body = json.dumps({"prompt": "hi", "stream": True, "ignore_eos": True, "max_tokens": 500}).encode()
        for _ in range(100):
            with socket.create_connection(("127.0.0.1", client.base_url.port or 0)) as gone:
                gone.sendall(heading(len(body)) + body)
        async with asyncio.timeout(10):
            await nobody_is_served(client)

    run_against_process(story)


async def nobody_is_served(client: httpx.AsyncClient) -> None:
    for _ in range(100):
        if (await client.get("/load")).json() == {"server_load": 0}:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("a connection is still served")
