"""Adapters, web servers and sidecars for the tests; not a test."""

import asyncio
import io
import json
import re
import struct
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import structlog

from controller.sidecar.artifacts.egress_guard import networks
from controller.sidecar.build import build_app
from controller.sidecar.settings import Settings
from fake_vllm.distributions import Constant
from fake_vllm.engine.context import Randomness
from fake_vllm.engine.engine import Engine, EngineConfig
from fake_vllm.engine.timing import EngineTimes
from fake_vllm.flavors import flavor_of
from fake_vllm.server.asgi import AsgiApp

LOAD, UNLOAD = "/v1/lora_adapter/load", "/v1/lora_adapter/unload"
LOOPBACK = networks(["127.0.0.0/8"])


def safetensors(size: int, fill: bytes = b"w") -> bytes:
    """Return a valid file with one tensor of `size` bytes."""
    header = json.dumps(
        {"model.layers.0.self_attn.q_proj.lora_A.weight": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}
    ).encode()
    return struct.pack("<Q", len(header)) + header + fill * size


def an_adapter(size: int = 1000, fill: bytes = b"w") -> dict[str, bytes]:
    """Return the files of an adapter."""
    config = json.dumps({"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"]}).encode()
    return {"adapter_config.json": config, "adapter_model.safetensors": safetensors(size, fill)}


@dataclass
class WebServer:
    """Files by path, and faults. Everything may be changed while it runs."""

    files: dict[str, bytes] = field(default_factory=dict)
    needs: dict[str, str] = field(default_factory=dict)
    """Headers without which the response is a 401."""
    statuses: dict[str, int] = field(default_factory=dict)
    bodies_of_errors: bool = False
    """Use a path's file as the body of its errors as well."""
    redirects: dict[str, str] = field(default_factory=dict)
    cuts: dict[str, list[float]] = field(default_factory=dict)
    """By path, the shares of a response after which the connection is closed, one entry per response."""
    ranges: bool = True
    wait: threading.Event = field(default_factory=threading.Event)
    """Bodies are sent when this is set."""
    pace: float = 0.0
    """Seconds for each 64 KiB of a body."""
    body_requested: threading.Event = field(default_factory=threading.Event)
    """Set when a body larger than a kilobyte was requested."""
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    sent: int = 0
    """Bytes of bodies."""
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def put(self, folder: str, files: dict[str, bytes]) -> None:
        self.files.update({f"{folder}/{name}": content for name, content in files.items()})

    def fetches(self, path: str) -> int:
        """Return the number of requests for more than one byte of a file."""
        return sum(requested == path and headers.get("range") != "bytes=0-0" for _, requested, headers in self.requests)


@contextmanager
def web_server() -> Iterator[WebServer]:
    state = WebServer()
    state.wait.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            _answer(self, state)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.wait.set()
        server.shutdown()
        server.server_close()


def _answer(handler: BaseHTTPRequestHandler, state: WebServer) -> None:
    path = urlsplit(handler.path).path
    headers = {name.lower(): value for name, value in handler.headers.items()}
    state.requests.append((handler.command, path, headers))
    content = state.files.get(path)
    status = state.statuses.get(path, 404 if content is None else 200)
    if any(headers.get(name.lower()) != value for name, value in state.needs.items()):
        status = 401
    extra = {}
    if path in state.redirects:
        status, extra = 302, {"location": state.redirects[path]}
    if status != 200 or content is None:
        content = content if content is not None and state.bodies_of_errors else b""
    else:
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("range", "")) if state.ranges else None
        start, end = (int(match[1]), int(match[2] or len(content) - 1)) if match else (0, len(content) - 1)
        extra["etag"] = f'"{hash(content)}"'
        if match:
            status, extra["content-range"] = 206, f"bytes {start}-{end}/{len(content)}"
            if start >= len(content):
                status, extra["content-range"] = 416, f"bytes */{len(content)}"
            content = content[start : end + 1]
    handler.send_response(status)
    handler.send_header("content-length", str(len(content)))
    for name, value in extra.items():
        handler.send_header(name, value)
    handler.end_headers()
    if headers.get("range") != "bytes=0-0":
        if len(content) > 1024:
            state.body_requested.set()
        state.wait.wait(30)
        cuts = state.cuts.get(path)
        if cuts:
            content = content[: int(len(content) * cuts.pop(0))]
            handler.close_connection = True
    state.sent += len(content)
    try:
        for start in range(0, len(content), 1 << 16):
            if state.pace:
                threading.Event().wait(state.pace)
            handler.wfile.write(content[start : start + (1 << 16)])
    except OSError:
        handler.close_connection = True


def a_fake_engine(load: float = 0.0, **settings: Any) -> Engine:
    config = EngineConfig(**{"enable_lora": True, "runtime_updating": True, "max_cpu_loras": 64, **settings})
    return Engine(
        config, flavor_of(config), EngineTimes(Constant(load), Constant(0.0)), Randomness(np.random.default_rng(0))
    )


@dataclass
class Sidecar:
    """A sidecar with a fake engine, in this process."""

    client: httpx.AsyncClient
    engine: Engine
    root: Path
    log: io.StringIO

    async def load(
        self, name: str, url: str, credentials: dict[str, str] | None = None, key: str = ""
    ) -> httpx.Response:
        body: dict[str, Any] = {"lora_name": name, "artifact_url": url}
        if credentials is not None:
            body["credentials"] = credentials
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return await self.client.post(LOAD, json=body, headers=headers)

    async def unload(self, name: str, **more: Any) -> httpx.Response:
        return await self.client.post(UNLOAD, json={"lora_name": name, **more})

    def files(self) -> list[str]:
        """Return all paths in the cache's folder, relative to it."""
        return sorted(str(p.relative_to(self.root)) for p in self.root.rglob("*") if p.is_file() or p.is_symlink())

    def rubbish(self) -> list[str]:
        return [path for path in self.files() if path.startswith(".incoming")]


@asynccontextmanager
async def a_sidecar(
    root: Path, engine: Engine | None = None, to_engine: httpx.AsyncBaseTransport | None = None, **settings: Any
) -> AsyncIterator[Sidecar]:
    engine = engine or a_fake_engine()
    log = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.PrintLogger(log),
        processors=[structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(0),
    )
    given = Settings(
        **{"root": root, "mount": root / "no-mount", "allowed": LOOPBACK, "reserve": 0, "first_wait": 0.01, **settings}
    )
    app = build_app(given, to_engine or httpx.ASGITransport(AsgiApp(engine)), logger)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://sidecar", timeout=60) as client,
    ):
        yield Sidecar(client, engine, root, log)


def code(response: httpx.Response) -> tuple[int, str]:
    """Return the status and code of a response."""
    return response.status_code, response.json().get("error", {}).get("code", "ok")


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)
