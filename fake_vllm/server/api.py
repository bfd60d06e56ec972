"""The FastAPI application of one server: its routes, `/docs` and `/openapi.json`.

Each endpoint calls `respond` with the request as it is, and so the same steps as the simulation does (`router.py`):
JSON is read and validated once, in one way, so both give the same bytes. Models of the bodies are declared for the
document alone.

This is the only module that imports FastAPI for the engine's port; `asgi.py` imports it on first use.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi.responses import Response as HttpResponse
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException

from fake_vllm import router
from fake_vllm.engine.engine import Engine
from fake_vllm.openai.flavor import Route
from fake_vllm.server.responses import CALL, respond, to_http

_SCHEMAS = "#/components/schemas/{model}"
_NO_TELEMETRY: Any = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False}
"""FastAPI's own spans and metrics, which cost time in each request, and which a real server does not have."""


def create_api(engine: Engine) -> FastAPI:
    """Return the application for engines of this configuration."""
    routes = router.routes(engine)
    title = "vLLM" if engine.config.dialect == "vllm" else "SGLang"
    documents: dict[str, Any] = {}
    if not engine.config.server.documents:
        documents = {"openapi_url": None, "docs_url": None, "redoc_url": None}
    api = FastAPI(title=title, redirect_slashes=False, telemetry=_NO_TELEMETRY, **documents)
    for path, method in [(path, method) for path, route in routes.items() for method in route.methods]:
        api.add_api_route(
            path,
            _endpoint(routes[path]),
            methods=[method],  # one at a time, so that each has an operation id of its own
            name=path.strip("/").replace("/", "_"),
            response_model=None,
            openapi_extra=_request_body(routes[path]),
            include_in_schema=routes[path].documented,
        )
    api.add_exception_handler(HTTPException, _otherwise)
    models = {route.body for route in routes.values() if route.body is not None}
    # FastAPI's documented way to extend the document.
    api.openapi = _document(api, models)  # type: ignore[method-assign]
    return api


def _endpoint(route: Route) -> Callable[[HttpRequest], Awaitable[HttpResponse]]:
    async def endpoint(request: HttpRequest) -> HttpResponse:
        return await respond(request.scope[CALL], route)

    return endpoint


async def _otherwise(request: HttpRequest, error: Exception) -> HttpResponse:  # noqa: ARG001 - FastAPI's signature
    """Respond to a request that FastAPI has no route for: the router knows more paths, and the refusals."""
    call = request.scope[CALL]
    found = router.find_route(call.engine, call.request)
    return await respond(call, found) if isinstance(found, Route) else to_http(found)


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
