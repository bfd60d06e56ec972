"""A fake engine run within a test, with a client of its admin port."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx

from fake_vllm.cli import options
from fake_vllm.server.process import Server
from tests.ports import free_port

UPDATING = {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}


@asynccontextmanager
async def running(*flags: str, env: Mapping[str, str] = UPDATING) -> AsyncIterator[tuple[int, httpx.AsyncClient]]:
    """Run an engine; yield its port and a client of its admin port."""
    port, admin = free_port(), free_port()
    words = ["serve", "base", "--enable-lora", "--max-loras", "4", "--host", "127.0.0.1", "--port", str(port)]
    own = ["--admin-port", str(admin), "--load-latency", "1ms", *flags]
    config, values = options.read([*words, *own], {**os.environ, **env})
    process = Server(config, values, lambda: 1767225600.0)
    task = asyncio.create_task(process.run())
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{admin}", timeout=5) as client:
        try:
            await answers(client, "/_faults")
            yield port, client
        finally:
            process.stop()
            await asyncio.wait_for(task, 10)


async def answers(client: httpx.AsyncClient, path: str) -> None:
    """Wait until the port is open."""
    for _ in range(3000):  # a minute: the machine may be shared
        try:
            await client.get(path)
            return
        except httpx.TransportError:
            await asyncio.sleep(0.02)
    raise TimeoutError(f"{client.base_url}{path} does not answer")
