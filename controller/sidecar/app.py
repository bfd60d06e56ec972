"""HTTP API of the sidecar, on FastAPI: `/docs` and `/openapi.json` describe it.

Bodies are in `protocol.py`, error codes in `errors.py`. A request is validated strictly; messages name the field and
never quote its value, which may be a credential.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry, Counter
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from structlog.typing import FilteringBoundLogger

from controller.sidecar import trace_context
from controller.sidecar.adapters import AdapterService
from controller.sidecar.artifacts.progress import DownloadTracker
from controller.sidecar.engine import LocalEngine
from controller.sidecar.errors import Code, SidecarError
from controller.sidecar.metrics import CONTENT_TYPE, MetricsEndpoint
from controller.sidecar.protocol import (
    INSPECT_PATH,
    LOAD_PATH,
    UNLOAD_PATH,
    ErrorResponse,
    InspectRequest,
    InspectResponse,
    LoadRequest,
    LoadResponse,
    Status,
    UnloadRequest,
    UnloadResponse,
)

_MAX_BODY = 1 << 20
_DISCONNECTED = 499  # nginx's status for a client that closed the connection

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Authorization = Annotated[str, Header(description="Passed on to the engine.")]


@dataclass(frozen=True, slots=True)
class Services:
    """Parts that the API gives access to.

    Attributes:
        adapters: loads and unloads.
        engine: the engine in the same pod.
        registry: registry of the sidecar's own metrics.
        downloads: downloads in progress and finished ones.
        metrics: metrics of the engine and the sidecar.
    """

    adapters: AdapterService
    engine: LocalEngine
    registry: CollectorRegistry
    downloads: DownloadTracker
    metrics: MetricsEndpoint


async def _nothing() -> None:
    pass


def create_app(
    services: Services, log: FilteringBoundLogger, close: Callable[[], Awaitable[None]] = _nothing
) -> FastAPI:
    """Return the application of one sidecar; `close` is called when it shuts down."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await services.adapters.close()
        await close()

    app = FastAPI(
        title="lora-runtime",
        description="Loads LoRA adapters from artifact stores into the engine of the same pod.",
        lifespan=lifespan,
        redoc_url=None,
    )
    middleware = _Middleware(services.registry, log)
    app.include_router(_adapters(services, middleware))
    app.include_router(_engine(services, middleware))
    app.include_router(_observability(services))
    return app


class _Middleware:
    """Wraps handlers: limits and normalizes requests, maps errors to responses, counts loads and unloads."""

    def __init__(self, registry: CollectorRegistry, log: FilteringBoundLogger) -> None:
        self._log = log
        self._requests = Counter(
            "lora_runtime_requests", "Loads and unloads by outcome.", ["verb", "code"], registry=registry
        )

    def router(self, *, counted: bool = False) -> APIRouter:
        """Return a router whose handlers are wrapped; with `counted`, requests are counted by route name and code."""
        middleware = self

        class Route(APIRoute):
            def get_route_handler(self) -> Handler:
                handler = super().get_route_handler()
                name: str = self.name

                async def handle(request: Request) -> Response:
                    response = await middleware.handle(handler, request)
                    if counted:
                        middleware._requests.labels(name, response.headers.get("x-code", "ok")).inc()
                    return response

                return handle

        return APIRouter(route_class=Route, responses={"default": {"model": ErrorResponse}})

    async def handle(self, handler: Handler, request: Request) -> Response:
        """Return the response of `handler`, or that of the error it raised."""
        trace_context.receive(request.headers)
        try:
            return await handler(await _as_json(request))
        except SidecarError as error:
            return error_response(error)
        except RequestValidationError as error:
            return error_response(SidecarError(Code.INVALID_REQUEST, _validation_message(error)))
        except HTTPException:  # FastAPI could not parse the body
            return error_response(SidecarError(Code.INVALID_REQUEST, _NOT_JSON))
        except ClientDisconnect:
            return Response(status_code=_DISCONNECTED)
        except Exception as error:
            self._log.error("internal error", path=request.url.path, error=type(error).__name__, exc_info=True)
            message = f"internal error ({type(error).__name__}): see the log of the sidecar"
            return error_response(SidecarError(Code.INTERNAL, message))


def _adapters(services: Services, middleware: _Middleware) -> APIRouter:
    router = middleware.router(counted=True)

    @router.post(LOAD_PATH, response_model=LoadResponse)
    async def load(body: LoadRequest, authorization: Authorization = "") -> Response:
        """Load an adapter from a store into the engine."""
        result = await services.adapters.load(body.lora_name, body.artifact_url, body.credentials or {}, authorization)
        message = f"adapter {result.name} {'was loaded already' if result.already else 'is loaded'}"
        response = LoadResponse(lora_name=result.name, local_path=result.path, message=message)
        return JSONResponse(response.model_dump())

    @router.post(INSPECT_PATH, response_model=InspectResponse)
    async def inspect(body: InspectRequest) -> Response:
        """Return the rank, size, target modules and base model of an artifact, without loading it."""
        facts = await services.adapters.inspect(body.artifact_url, body.credentials or {})
        return JSONResponse(InspectResponse.of(facts).model_dump())

    @router.post(UNLOAD_PATH, response_model=UnloadResponse)
    async def unload(body: UnloadRequest, authorization: Authorization = "") -> Response:
        """Unload an adapter from the engine."""
        was_loaded = await services.adapters.unload(body.lora_name, body.cleanup_local, authorization)
        message = f"adapter {body.lora_name} {'is unloaded' if was_loaded else 'was not loaded'}"
        return JSONResponse(UnloadResponse(lora_name=body.lora_name, message=message).model_dump())

    return router


def _engine(services: Services, middleware: _Middleware) -> APIRouter:
    router = middleware.router()

    @router.get("/v1/models")
    async def models(authorization: Authorization = "") -> Response:
        """Return the engine's list of models."""
        response = await services.engine.list_models(authorization)
        return Response(response.content, response.status_code, media_type=response.headers.get("content-type"))

    return router


def _observability(services: Services) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz", response_model=Status, response_model_exclude_defaults=True)
    async def healthz() -> Response:
        """Liveness probe."""
        return JSONResponse({"status": "ok"})

    @router.get("/ready", response_model=Status, responses={503: {"model": Status}})
    async def ready() -> Response:
        """Readiness probe: the engine responds."""
        if await services.engine.is_alive():
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "not ready", "message": "the engine does not answer"}, 503)

    @router.get("/v1/downloads")
    async def downloads() -> Response:
        """Return the downloads in progress and the last finished ones."""
        return JSONResponse({"downloads": services.downloads.as_dict()})

    @router.get("/metrics", response_class=StreamingResponse)
    async def metrics() -> Response:
        """Metrics of the engine and of the sidecar, for Prometheus."""
        return StreamingResponse(services.metrics.page(), media_type=CONTENT_TYPE)

    return router


def error_response(error: SidecarError) -> Response:
    """Return the response for an error."""
    headers = {"x-code": error.code.word}
    if error.retry_after:
        headers["retry-after"] = f"{error.retry_after:g}"
    return JSONResponse(ErrorResponse.of(error).model_dump(), error.status, headers)


# -- requests

_NOT_JSON = "the request is not valid JSON"


async def _as_json(request: Request) -> Request:
    """Return the request with its whole body and a JSON content type, which clients need not send.

    Raises:
        SidecarError: if the body is too large.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise SidecarError(Code.REQUEST_TOO_LARGE, f"a request has at most {_MAX_BODY} bytes")
    headers = [header for header in request.scope["headers"] if header[0] != b"content-type"]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({**request.scope, "headers": [*headers, (b"content-type", b"application/json")]}, receive)


def _validation_message(error: RequestValidationError) -> str:
    """Return the first error without the value; of a mapping only the name of its field, not its keys."""
    first = error.errors()[0]
    if first["type"] == "json_invalid" or (first["loc"] == ("body",) and first["type"] == "missing"):
        return _NOT_JSON
    fields = first["loc"][1:2]
    return f"the request is not valid: {''.join(f'{name}: ' for name in fields)}{first['msg']}"
