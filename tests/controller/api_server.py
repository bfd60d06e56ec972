"""A scripted HTTP server, for responses of an API server that the twin's store cannot give."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import web

from controller.client.config import ClientConfig, Kubeconfig
from controller.client.ratelimit import rate_limits
from controller.client.rest import RestClient
from controller.client.transport import Connection
from controller.clock import SystemClock
from controller.logging import logger

Handler = Callable[[web.Request], Any]


@dataclass
class ScriptedServer:
    """Sends the answers in turn, the last one repeatedly; records the requests."""

    answers: list[Handler]
    requests: list[web.Request] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.json() if request.can_read_body else None)
        handler = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        result = handler(request)
        response: web.StreamResponse = await result if hasattr(result, "__await__") else result
        return response


def json_response(status: int, body: Any, **headers: str) -> Handler:
    """Return a JSON response; a text is sent unchanged."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    text = body if isinstance(body, str) else json.dumps(body)
    return lambda request: web.Response(status=status, text=text, headers=sent, content_type="application/json")


def status(code: int, reason: str, message: str = "no", **headers: str) -> Handler:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message}
    return json_response(code, {**body, "code": code}, **headers)


def streams(*chunks: bytes) -> Handler:
    """Return a watch response in these chunks; then the connection is closed."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        return response

    return handler


@asynccontextmanager
async def listening(script: ScriptedServer) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", script.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def client_of(
    script: ScriptedServer, folder: Path, *, access: Callable[[str], ClientConfig] | None = None, timeout: float = 5.0
) -> AsyncIterator[RestClient]:
    """Yield a `RestClient` connected to a scripted server."""
    async with listening(script) as url:
        if access is None:
            file = kubeconfig(folder, url, {"token": "sesame"})
            way: ClientConfig = Kubeconfig(str(file), "", SystemClock())
        else:
            way = access(url)
        with (folder / "log").open("a") as log:
            async with Connection(way, limits=rate_limits(), timeout=timeout, rng=Random(0)) as connection:
                yield RestClient(connection, Random(0), logger(SystemClock(), log))


def kubeconfig(folder: Path, url: str, user: dict[str, Any] | None, **cluster: Any) -> Path:
    """Write a kubeconfig (as JSON, which is YAML)."""
    entry = {"name": "t", "user": user} if user is not None else None
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "t",
        "clusters": [{"name": "t", "cluster": {"server": url, **cluster}}],
        "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t", "namespace": "models"}}],
        "users": [entry] if entry else [],
    }
    file = folder / "kubeconfig"
    file.write_text(json.dumps(content))
    return file
