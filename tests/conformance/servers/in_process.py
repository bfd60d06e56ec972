"""The fake in this process and in virtual time: its ASGI application with everything but the sockets.

A case costs a millisecond so, and no waiting. What uvicorn does to a request is done here: the path is decoded, and an
answer to HEAD has no body. Cases about routes and headers are played on sockets (see `parallel.py`).
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import httpx
import numpy as np
import simpy

from fake_vllm.cli import options
from fake_vllm.engine.context import EngineContext, Randomness
from fake_vllm.engine.engine import Engine
from fake_vllm.engine.timing import EngineTimes
from fake_vllm.flavors import flavor_of
from fake_vllm.server.asgi import AsgiApp
from tests.conformance.exchange import Profile
from tests.conformance.servers.engines import MODEL_FLAGS, WITHOUT_DELAY, fake_flags
from twin.kernel.loop import VirtualLoop


@dataclass(slots=True)
class InProcess:
    """A fake in this process.

    Attributes:
        client: sends requests to it.
        deaths: reasons of its engine core's end.
    """

    client: httpx.Client
    deaths: list[str]

    def survives(self) -> bool:
        """Return whether the engine core still runs."""
        return not self.deaths


@contextmanager
def serving_in_process(version: str, profile: Profile) -> Iterator[InProcess]:
    """Start the fake, behaving like the CPU build of `version`; end it without waiting for its work."""
    deaths: list[str] = []
    loop = VirtualLoop(simpy.Environment())
    asyncio.set_event_loop(loop)
    engine = engine_in_process(version, profile, deaths.append)
    transport = _Transport(loop, engine)
    try:
        with httpx.Client(base_url="http://127.0.0.1:8000", transport=transport) as client:
            yield InProcess(client, deaths)
    finally:
        engine.close()
        loop.close()
        asyncio.set_event_loop(None)


def engine_in_process(version: str, profile: Profile, on_death: Callable[[str], None] | None = None) -> Engine:
    """Return an engine with the flags of the fake's processes; `on_death` is called when its core has ended."""
    model, flags = fake_flags(version)
    names = () if "--served-model-name" in profile.flags else ("--served-model-name", "base")
    command = ["serve", model, *names, *flags, *WITHOUT_DELAY, *MODEL_FLAGS, *profile.flags]
    config, own = options.read(command, profile.environment)
    times = EngineTimes(own.profile.load, own.profile.unload, own.profile.timing)
    context = EngineContext(find_artifact=own.find, fetch=own.fetch, on_death=on_death)
    return Engine(config, flavor_of(config), times, Randomness(np.random.default_rng(0)), context)


@dataclass(slots=True)
class _Exchange:
    """One request to the application, and what it has sent."""

    request: httpx.Request
    asked: bool = False
    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    async def receive(self) -> dict[str, Any]:
        if self.asked:
            await asyncio.Event().wait()  # the client stays
        self.asked = True
        return {"type": "http.request", "body": self.request.content, "more_body": False}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", ()))
        else:
            self.body += message.get("body", b"")


class _Transport(httpx.BaseTransport):
    """Calls an ASGI application in virtual time, as uvicorn calls it."""

    def __init__(self, loop: VirtualLoop, engine: Engine) -> None:
        self._loop = loop
        self._resets: list[Any] = []
        self._app = AsgiApp(engine, reset_connection=self._resets.append)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        exchange = _Exchange(request)
        try:
            self._loop.run_until_complete(self._app(_scope(request), exchange.receive, exchange.send))
        except Exception:
            if not exchange.status:
                return httpx.Response(500, headers={"content-type": "text/plain; charset=utf-8"}, text=_CRASHED)
            raise httpx.RemoteProtocolError("the server closed the connection") from None
        if self._resets:
            self._resets.clear()
            raise httpx.ReadError("the server reset the connection")
        content = b"" if request.method == "HEAD" else exchange.body
        return httpx.Response(exchange.status, headers=exchange.headers, content=content)


_CRASHED = "Internal Server Error"
"""Sent by uvicorn if an application raises an exception."""


def _scope(request: httpx.Request) -> dict[str, Any]:
    path, _, query = request.url.raw_path.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "root_path": "",
        "path": unquote(path.decode("ascii")),
        "raw_path": path,
        "query_string": query,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
    }
