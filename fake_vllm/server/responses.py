"""Responses as Starlette sends them, and the one way from a request to a response that all routes share."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import REGISTRY, generate_latest
from starlette.responses import Response as HttpResponse
from starlette.responses import StreamingResponse

from fake_vllm import router
from fake_vllm.engine.engine import Engine, EngineClosed
from fake_vllm.http.paths import METRICS_PATH
from fake_vllm.openai.flavor import Route
from fake_vllm.router import Request, Response, Stream
from fake_vllm.server.http_metrics import HttpMetrics
from fake_vllm.server.metrics_mount import MetricsMount

_METRICS = "text/plain; version="
CALL = "fake_vllm.call"
"""Key of the `Call` in the ASGI scope."""


@dataclass(slots=True)
class Call:
    """A request on its way to an engine; `slow` multiplies the engine's time."""

    engine: Engine
    request: Request
    slow: float = 1.0
    http_metrics: HttpMetrics | None = None
    """Counts the requests of the server."""
    unhandled: bool = False
    """Set if the response is made outside all middleware."""
    engine_closed: bool = False
    """Set if the container stopped before the response was complete: the connection has to be aborted."""


class EventStream(StreamingResponse):
    """A stream that aborts the engine's work when it ends early.

    Starlette's own `__call__` also watches for a disconnect, which `AsgiApp` does for every request.
    """

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream.chunks, stream.status, dict(stream.headers))
        self._stream = stream

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:  # noqa: ARG002
        try:
            await self.stream_response(send)
        except EngineClosed:
            scope[CALL].engine_closed = True
        finally:
            await close(self._stream)


class NoResponse(HttpResponse):
    """Sends nothing: the connection is aborted instead."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Do nothing."""


async def respond(call: Call, route: Route) -> HttpResponse:
    """Return the response of a route to a call."""
    try:
        response = await router.run(call.engine, route, call.request, slow=call.slow)
        call.unhandled = isinstance(response, Response) and response.unhandled
        if isinstance(response, Response) and response.headers.get("content-type", "").startswith(_METRICS):
            return _metrics(call, response)
        return to_http(response)
    except EngineClosed:
        call.engine_closed = True
        return NoResponse()


def _metrics(call: Call, page: Response) -> HttpResponse:
    """Return a page of metrics with those of the process, of Python and of HTTP, which vLLM's registry has too."""
    if call.engine.config.dialect != "vllm":
        return to_http(page)
    if (call.request.method, call.request.path) != ("GET", METRICS_PATH):
        return MetricsMount(call.engine, None if call.http_metrics is None else call.http_metrics.registry)
    requests = call.http_metrics.page() if call.http_metrics is not None else b""
    return to_http(Response(page.status, page.headers, generate_latest(REGISTRY) + requests + page.body))


async def close(stream: Stream) -> None:
    """Abort the work behind a stream."""
    aclose: Callable[[], Awaitable[None]] | None = getattr(stream.chunks, "aclose", None)
    if aclose is not None:
        await aclose()


def to_http(response: Response | Stream) -> HttpResponse:
    """Return the response as Starlette sends it."""
    if isinstance(response, Stream):
        return EventStream(response)
    return HttpResponse(response.body, response.status, dict(response.headers))
