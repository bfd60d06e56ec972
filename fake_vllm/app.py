"""The HTTP face on a real socket: a FastAPI application around `wire.respond`.

Every request goes to one catch-all route, because `wire.py` already says what vLLM would; nothing is decided
here but how a fault looks where there is a real connection. On a socket nobody says who asks, so that a fault
in force applies to everybody; and the port cannot be closed for some requests only, so that a refused
connection shows as one that is closed without an answer.
"""

from collections.abc import Callable

from fastapi import FastAPI
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.types import Receive, Scope, Send

from fake_vllm import wire
from fake_vllm.engine import Engine, EngineClosed
from fake_vllm.faults import ANYBODY, Faults, Verdict

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class CutOff(HttpResponse):
    """An answer that stops before it is complete; the server closes the connection then."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        await send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"1")]})


def create_app(engine: Engine, faults: Faults | None = None, *, draw: Callable[[], float] | None = None) -> FastAPI:
    """The application for one engine.

    Args:
        engine: what answers.
        faults: what goes wrong; rules may come and go while the application runs.
        draw: numbers in [0, 1) for chancy faults; needed if there are `faults`.

    Raises:
        ValueError: if there are faults but nothing to draw from.
    """
    if faults is not None and draw is None:
        raise ValueError("create_app: faults need a `draw`, such as the `random` method of a numpy generator")
    app = FastAPI(title="fake-vllm", docs_url=None, redoc_url=None, openapi_url=None)

    async def answer(http: HttpRequest) -> HttpResponse:
        headers = {name.lower(): value for name, value in http.headers.items()}
        request = wire.Request(http.method, http.scope["path"], headers, await http.body())
        verdict = None
        if faults is not None and draw is not None:
            verdict = faults.verdict(ANYBODY, request.path, wire.adapter_of(request), draw)
        try:
            return await _obey(verdict, engine, request, http)
        except EngineClosed:
            return CutOff()

    app.add_route("/{path:path}", answer, methods=METHODS, include_in_schema=False)
    return app


async def _obey(verdict: Verdict | None, engine: Engine, request: wire.Request, http: HttpRequest) -> HttpResponse:
    if verdict is None:
        return _on_http(await wire.respond(engine, request))
    if verdict.kind == "hang":
        while (await http.receive())["type"] != "http.disconnect":
            continue
        return CutOff()
    if verdict.response is not None:
        return _on_http(verdict.response)
    if verdict.kind == "slow":
        return _on_http(await wire.respond(engine, request, slow=verdict.factor))
    if verdict.after:
        await wire.respond(engine, request, slow=verdict.factor)
    return CutOff()


def _on_http(response: wire.Response) -> HttpResponse:
    return HttpResponse(response.body, response.status, dict(response.headers))
