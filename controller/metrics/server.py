"""HTTP server of `/metrics`, `/healthz` and `/readyz`, on a port of its own.

It runs in the operator's event loop, so that a blocked loop fails the liveness probe. All routes are read-only and need
no authentication.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import ceil

import uvicorn
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from controller.metrics.instruments import Metrics
from formats.sockets import bind

Check = Callable[[], str]
"""Returns what is wrong, without secrets; empty if nothing is."""

_MAX_HEAD_BYTES = 16384
_SHUTDOWN_SECONDS = 1


@asynccontextmanager
async def serve(
    metrics: Metrics, liveness: Check, readiness: Check, *, port: int, host: str = "0.0.0.0"
) -> AsyncIterator[int]:
    """Serve the routes while the context lasts; yields the port, a free one if `port` is 0.

    Raises:
        OSError: if the address cannot be bound.
    """
    async with listen(_app(metrics, liveness, readiness), host=host, port=port) as actual:
        yield actual


@asynccontextmanager
async def listen(
    app: Starlette, *, host: str, port: int, shutdown_timeout: float = _SHUTDOWN_SECONDS
) -> AsyncIterator[int]:
    """Serve an application in this event loop while the context lasts; yields the port, a free one if `port` is 0.

    Requests in progress at the end have `shutdown_timeout` seconds.

    Raises:
        OSError: if the address cannot be bound.
    """
    listener = bind(host, port)
    server = _server(app, shutdown_timeout)
    await server.startup(sockets=[listener])
    try:
        yield listener.getsockname()[1]
    finally:
        await server.shutdown(sockets=[listener])


def _server(app: Starlette, shutdown_timeout: float) -> uvicorn.Server:
    """Return a server without uvicorn's own main loop, which would replace the operator's signal handlers."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_level="critical",
        access_log=False,
        server_header=False,
        date_header=False,
        h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
        timeout_graceful_shutdown=ceil(shutdown_timeout),
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    return server


def _app(metrics: Metrics, liveness: Check, readiness: Check) -> Starlette:
    async def page(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(metrics.registry), headers={"content-type": content_type})

    return Starlette(
        routes=[
            Route("/metrics", page),
            Route("/healthz", _probe(liveness)),
            Route("/readyz", _probe(readiness)),
        ]
    )


def _probe(check: Check) -> Callable[[Request], object]:
    async def probe(_: Request) -> Response:
        error = check()
        return PlainTextResponse(f"{error}\n", 503) if error else PlainTextResponse("ok\n")

    return probe
