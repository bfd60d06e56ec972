"""The HTTP face: reads requests strictly, answers with a status and a code.

Starlette alone, without FastAPI on top: requests are decoded by `msgspec`, whose complaints name the field and never
quote what was in it (it may be a credential), and a sidecar stands in every pod: 15 MB less each.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from structlog.typing import FilteringBoundLogger

from controller.sidecar.adapters import AdapterService
from controller.sidecar.artifacts.progress import DownloadTracker
from controller.sidecar.engine import LocalEngine
from controller.sidecar.errors import Code, SidecarError
from controller.sidecar.metrics import CONTENT_TYPE, MetricsEndpoint

LOAD_PATH = "/v1/lora_adapter/load"
UNLOAD_PATH = "/v1/lora_adapter/unload"
_LARGEST_BODY = 1 << 20


class LoadRequest(msgspec.Struct, forbid_unknown_fields=True):
    """`POST /v1/lora_adapter/load`."""

    lora_name: str
    artifact_url: str
    credentials: dict[str, str] | None = None
    additional_config: dict[str, str] | None = None
    """Known to the engine's side only; taken so that callers may send it."""


class UnloadRequest(msgspec.Struct, forbid_unknown_fields=True):
    """`POST /v1/lora_adapter/unload`."""

    lora_name: str
    cleanup_local: bool = True


_LOAD = msgspec.json.Decoder(LoadRequest)
_UNLOAD = msgspec.json.Decoder(UnloadRequest)

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]


def create_app(
    adapters: AdapterService,
    engine: LocalEngine,
    registry: CollectorRegistry,
    log: FilteringBoundLogger,
    downloads: DownloadTracker | None = None,
    scrape: MetricsEndpoint | None = None,
    close: Callable[[], Awaitable[None]] | None = None,
) -> Starlette:
    """The application of one sidecar; without `downloads` and `scrape` it has no routes for them."""
    face = _Handlers(adapters, engine, registry, log)
    routes = face.routes()
    if downloads is not None:
        routes.append(Route("/v1/downloads", _downloads(downloads), methods=["GET"]))
    if scrape is not None:
        routes.append(Route("/metrics", _metrics(scrape), methods=["GET"]))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await adapters.close()
        if close is not None:
            await close()

    return Starlette(routes=routes, lifespan=lifespan)


class _Handlers:
    """What is answered about adapters and the engine."""

    def __init__(
        self, adapters: AdapterService, engine: LocalEngine, registry: CollectorRegistry, log: FilteringBoundLogger
    ) -> None:
        self._adapters = adapters
        self._engine = engine
        self._log = log
        said = "Loads and unloads by how they ended."
        self._answered = Counter("lora_runtime_requests", said, ["verb", "code"], registry=registry)

    def routes(self) -> list[Route]:
        return [
            Route(LOAD_PATH, self._counted("load", self._load), methods=["POST"]),
            Route(UNLOAD_PATH, self._counted("unload", self._unload), methods=["POST"]),
            Route("/v1/models", self._plain(self._models), methods=["GET"]),
            Route("/healthz", self._healthz, methods=["GET"]),
            Route("/ready", self._ready, methods=["GET"]),
        ]

    async def _load(self, request: Request) -> Response:
        asked = await _decoded(request, _LOAD)
        key = request.headers.get("authorization", "")
        loaded = await self._adapters.load(asked.lora_name, asked.artifact_url, asked.credentials or {}, key)
        said = "was loaded already" if loaded.already else "is loaded"
        return _success(loaded.name, said, local_path=loaded.path)

    async def _unload(self, request: Request) -> Response:
        asked = await _decoded(request, _UNLOAD)
        key = request.headers.get("authorization", "")
        was_there = await self._adapters.unload(asked.lora_name, asked.cleanup_local, key)
        return _success(asked.lora_name, "is unloaded" if was_there else "was not loaded")

    async def _models(self, request: Request) -> Response:
        found = await self._engine.listing(request.headers.get("authorization", ""))
        return Response(found.content, found.status_code, media_type=found.headers.get("content-type"))

    async def _healthz(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def _ready(self, _: Request) -> Response:
        if await self._engine.alive():
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "message": "the engine does not answer"}, 503)

    def _counted(self, verb: str, handler: Handler) -> Handler:
        async def count(request: Request) -> Response:
            response = await _answer(handler, request, self._log)
            self._answered.labels(verb, response.headers.get("x-code", "ok")).inc()
            return response

        return count

    def _plain(self, handler: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            return await _answer(handler, request, self._log)

        return answer


def _downloads(downloads: DownloadTracker) -> Handler:
    async def under_way(_: Request) -> Response:
        return JSONResponse({"downloads": downloads.as_dict()})

    return under_way


def _metrics(scrape: MetricsEndpoint) -> Handler:
    async def metrics(_: Request) -> Response:
        return StreamingResponse(scrape.page(), media_type=CONTENT_TYPE)

    return metrics


def _success(name: str, said: str, **more: str) -> Response:
    return JSONResponse({"status": "success", "lora_name": name, **more, "message": f"adapter {name} {said}"})


async def _answer(handler: Handler, request: Request, log: FilteringBoundLogger) -> Response:
    try:
        return await handler(request)
    except SidecarError as error:
        return failure(error)
    except ClientDisconnect:
        return Response(status_code=499)
    except Exception as error:
        log.error("internal error", path=request.url.path, error=type(error).__name__, exc_info=True)
        return failure(SidecarError(Code.INTERNAL, f"internal error ({type(error).__name__}): see the sidecar's log"))


def failure(error: SidecarError) -> Response:
    """An error on the wire, in vLLM's envelope: `code` is a word here, the status is beside it."""
    headers = {"x-code": error.code.word}
    if error.retry_after:
        headers["retry-after"] = f"{error.retry_after:g}"
    body = {
        "error": {
            "code": error.code.word,
            "message": error.message,
            "type": error.type,
            "status": error.status,
            "retriable": error.retriable,
        }
    }
    return JSONResponse(body, error.status, headers)


async def _decoded(request: Request, decoder: msgspec.json.Decoder[T]) -> T:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_BODY:
            raise SidecarError(Code.REQUEST_TOO_LARGE, f"a request has at most {_LARGEST_BODY} bytes")
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise SidecarError(Code.INVALID_REQUEST, f"the request is not valid: {error}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise SidecarError(Code.INVALID_REQUEST, "the request is no valid JSON") from None
