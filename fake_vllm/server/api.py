"""The FastAPI application of one server: its routes, `/docs` and `/openapi.json`.

Endpoints take the request as it is and call the same steps as the simulation does (`router.py`): JSON is read and
validated once, in one way, so both give the same bytes. Models of the bodies are declared for the document alone.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi.responses import Response as HttpResponse
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException

from fake_vllm import router
from fake_vllm.engine.engine import Engine, EngineClosed
from fake_vllm.openai.flavor import Route
from fake_vllm.router import Request, Response, Stream

CALL = "fake_vllm.call"
"""Key of the `Call` in the ASGI scope."""
_SCHEMAS = "#/components/schemas/{model}"


@dataclass(slots=True)
class Call:
    """A request on its way to an engine; `slow` multiplies the engine's time."""

    engine: Engine
    request: Request
    slow: float = 1.0
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


def create_api(engine: Engine) -> FastAPI:
    """Return the application for engines of this configuration."""
    routes = router.routes(engine)
    api = FastAPI(title="vLLM" if engine.config.dialect == "vllm" else "SGLang", redirect_slashes=False)
    for path, method in [(path, method) for path, route in routes.items() for method in route.methods]:
        api.add_api_route(
            path,
            _endpoint(routes[path]),
            methods=[method],  # one at a time, so that each has an operation id of its own
            name=path.strip("/").replace("/", "_"),
            response_model=None,
            openapi_extra=_request_body(routes[path]),
        )
    api.add_exception_handler(HTTPException, _refusal(routes))
    models = {route.body for route in routes.values() if route.body is not None}
    # FastAPI's documented way to extend the document.
    api.openapi = _document(api, models)  # type: ignore[method-assign]
    return api


def _endpoint(route: Route) -> Callable[[HttpRequest], Awaitable[HttpResponse]]:
    async def endpoint(request: HttpRequest) -> HttpResponse:
        call: Call = request.scope[CALL]
        try:
            return to_http(await router.run(call.engine, route, call.request, slow=call.slow))
        except EngineClosed:
            call.engine_closed = True
            return NoResponse()

    return endpoint


def _refusal(routes: Mapping[str, Route]) -> Callable[[HttpRequest, Exception], Awaitable[HttpResponse]]:
    """Return the handler of requests without a route: the router's own responses, in its order of headers."""

    async def refuse(request: HttpRequest, error: Exception) -> HttpResponse:
        route = routes.get(request.url.path)
        if route is not None and isinstance(error, HTTPException) and error.status_code == 405:
            return to_http(router.method_not_allowed(route))
        return to_http(router.not_found())

    return refuse


def _request_body(route: Route) -> dict[str, Any] | None:
    if route.body is None:
        return None
    schema = {"$ref": _SCHEMAS.format(model=route.body.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _document(api: FastAPI, models: set[type[BaseModel]]) -> Callable[[], dict[str, Any]]:
    """Return the maker of the OpenAPI document: FastAPI's, with the schemas of the bodies."""
    plain = api.openapi

    def document() -> dict[str, Any]:
        content = plain()
        ordered = sorted(models, key=lambda model: model.__name__)
        _, schemas = models_json_schema([(model, "validation") for model in ordered], ref_template=_SCHEMAS)
        content.setdefault("components", {}).setdefault("schemas", {}).update(schemas.get("$defs", {}))
        return content

    return document
