"""The control API of `twin serve`: the status page, and what `twin fault`, `twin events` and `twin clock` call.

`/` is the status page, `/metrics` has the metrics of the operator, `/docs` and `/openapi.json` describe the API below
`/twin/v1`. On loopback, reading needs no token. Changes, and everything beyond loopback, need the token of the
administrator. Errors are Kubernetes `Status` objects.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from importlib import resources
from typing import Annotated

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from twin.apiserver import ApiError
from twin.apiserver.meta.errors import bad_request
from twin.apiserver.rest import TokenAuthenticator
from twin.evaluate.judge import evaluate
from twin.report import build_report
from twin.report.figures import draw
from twin.report.page import source
from twin.report.svg import stylesheet
from twin.report.timeline import build_timeline
from twin.scenario import Fault, resolved
from twin.scenario.faults import LastingFault
from twin.scenario.faults.catalogue import fault_catalogue
from twin.serve.clock import RealTimeClock
from twin.serve.control.fault_requests import FaultRequestError, fault_from
from twin.serve.control.models import ClockRequest, FaultKind, FaultRequest, FaultResponse, WorldStatus, error_line
from twin.serve.control.status_page import StatusPage
from twin.serve.operator.process_replica import SKEW, ProcessReplica
from twin.serve.operator.scrape import scrape
from twin.sim.simulation import Simulation
from twin.trace.lines import Line
from twin.trace.recorder import encode

PREFIX = "/twin/v1"
METRICS = "/metrics"
DOCS = ("/docs", "/openapi.json")
"""Paths of the API's description, outside of the prefix."""
_RENAMED = {f"{PREFIX}/pace": f"{PREFIX}/clock"}
"""Old paths; a request is refused with the new path in the message."""
_NO_CACHE = {"cache-control": "no-cache, private"}


class ControlApi:
    """ASGI application that shows a served world and changes its clock and its faults."""

    def __init__(
        self,
        simulation: Simulation,
        clock: RealTimeClock,
        access: TokenAuthenticator,
        *,
        trusting: bool,
        operated: bool,
    ) -> None:
        """Build the routes.

        Args:
            simulation: the served world.
            clock: its clock.
            access: the tokens of the Kubernetes API, which are valid here too.
            trusting: whether reading needs no token.
            operated: whether the operator is part of this world; without it, faults of the operator are refused.
        """
        self._simulation = simulation
        self._clock = clock
        self._access = access
        self._trusting = trusting
        self._operated = operated
        self._status = StatusPage(simulation, clock)
        self._followers: set[asyncio.Queue[Line | None]] = set()
        simulation.recorder.subscribe(self._publish)
        self._app = self._build()

    def close(self) -> None:
        """End all streams of events."""
        self._publish(None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._authorize(Request(scope))
        except ApiError as error:
            await _status_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _authorize(self, request: Request) -> None:
        if self._trusting and request.method in ("GET", "HEAD"):
            return
        if not self._access.authenticate(request.headers).is_master:
            raise ApiError(403, "Forbidden", "the control API is reserved for the administrator")

    def _build(self) -> FastAPI:
        app = FastAPI(title="twin serve", description="Control API of a served world.", redoc_url=None)
        app.add_exception_handler(ApiError, _on_api_error)
        app.add_exception_handler(RequestValidationError, _on_invalid_request)
        app.add_exception_handler(HTTPException, _on_http_error)
        for path in ("/", PREFIX):
            app.add_api_route(path, _page, methods=["GET", "HEAD"], include_in_schema=False)
        app.add_api_route(METRICS, self._metrics, methods=["GET"], response_class=Response)
        app.add_api_route(f"{PREFIX}/world", self._world, methods=["GET"])
        app.add_api_route(f"{PREFIX}/report", self._report, methods=["GET"], response_class=HTMLResponse)
        app.add_api_route(f"{PREFIX}/events", self._events, methods=["GET"], response_class=StreamingResponse)
        app.add_api_route(f"{PREFIX}/clock", self._set_clock, methods=["POST"])
        app.add_api_route(f"{PREFIX}/figures/{{name}}", self._figure, methods=["GET"], response_class=HTMLResponse)
        app.add_api_route(f"{PREFIX}/faults", _kinds, methods=["GET"])
        app.add_api_route(f"{PREFIX}/faults", self._inject, methods=["POST"], status_code=201)
        app.add_api_route(f"{PREFIX}/faults/{{number}}", self._lift, methods=["DELETE"])
        return app

    # -- reading

    async def _world(self) -> WorldStatus:
        """Return the present state of the world."""
        return self._status.now()

    async def _metrics(self, request: Request, replica: str = "") -> Response:
        """Return the operator's metrics, in Prometheus' format: those of one replica, of the leader by default."""
        if not self._operated:
            message = "this world has no operator (--no-controller); your own operator serves its metrics"
            raise ApiError(404, "NotFound", message)
        return await scrape(self._simulation.replicas, replica, request.headers.get("accept", ""))

    async def _report(self) -> Response:
        """Return the report of the run so far; it takes seconds for a long run."""
        scenario, lines = self._simulation.scenario, list(self._simulation.recorder.lines)

        def render() -> str:
            return build_report(evaluate(lines, scenario.expect, scenario=resolved(scenario), partial=True)).html

        return HTMLResponse(await asyncio.to_thread(render), headers=_NO_CACHE)

    async def _figure(self, name: str) -> Response:
        """Return a figure of the report as it is now, as an SVG element."""
        lines = list(self._simulation.recorder.lines)

        def render() -> dict[str, str]:
            return {figure.name: figure.inline() for figure in draw(build_timeline(lines, partial=True))}

        figures = await asyncio.to_thread(render)
        if name not in figures:
            raise ApiError(404, "NotFound", f"no figure {name}; allowed: {', '.join(figures) or 'none yet'}")
        return HTMLResponse(figures[name], headers=_NO_CACHE)

    async def _events(self, tail: Annotated[int | None, Query()] = None, follow: bool = False) -> Response:
        """Return the lines of events.jsonl: the last `tail` ones and, with `follow`, all that come later."""
        lines = self._simulation.recorder.lines
        first = 0 if tail is None else max(0, len(lines) - tail)
        return StreamingResponse(
            self._stream(lines[first:], follow=follow), media_type="application/jsonl", headers=_NO_CACHE
        )

    async def _stream(self, lines: Sequence[Line], *, follow: bool) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[Line | None] = asyncio.Queue()
        if follow:
            self._followers.add(queue)
        try:
            if lines:
                yield encode(lines)
            while follow and (line := await queue.get()) is not None:
                yield encode([line])
        finally:
            self._followers.discard(queue)

    def _publish(self, line: Line | None) -> None:
        for queue in self._followers:
            queue.put_nowait(line)

    # -- changing

    async def _set_clock(self, request: ClockRequest) -> WorldStatus:
        """Change the clock; the response to a step is sent when the step has ended."""
        try:
            if request.speed is not None:
                self._clock.set_speed(request.speed)
            if request.paused is not None:
                (self._clock.pause if request.paused else self._clock.resume)()
            if request.step is not None:
                self._clock.step(request.step)
        except ValueError as error:
            raise bad_request(str(error)) from error
        if request.step is not None:
            await self._clock.wait_step()
        return self._status.now()

    async def _inject(self, request: FaultRequest) -> FaultResponse:
        """Inject a fault, which starts now unless it says otherwise."""
        try:
            fault = fault_from(request.model_dump(by_alias=True, exclude_unset=True), float(self._simulation.env.now))
            self._check(fault)
        except FaultRequestError as error:
            raise bad_request(str(error)) from error
        number = self._simulation.inject_faults([fault])
        return FaultResponse(
            number=number, kind=fault.kind, until=fault.until if isinstance(fault, LastingFault) else None
        )

    async def _lift(self, number: int) -> WorldStatus:
        """End a fault that is active."""
        if not self._status.is_active(number):
            raise ApiError(404, "NotFound", f"fault {number} is not active; /twin/v1/world lists those that are")
        self._simulation.lift_fault(number)
        return self._status.now()

    def _check(self, fault: Fault) -> None:
        """Raise FaultRequestError for a fault of an operator that this world does not have or cannot reach."""
        if fault.on != "controller":
            return
        if not self._operated:
            raise FaultRequestError(
                f"{fault.kind}: this world has no operator (--no-controller); stop your own operator instead"
            )
        replicas = self._simulation.replicas
        if fault.kind == SKEW and any(isinstance(item, ProcessReplica) and not item.can_skew for item in replicas):
            raise FaultRequestError(
                f"{fault.kind}: these operator processes use the machine's clock; "
                "put the fault into the scenario's `faults` instead"
            )


async def _page() -> Response:
    folder = resources.files("twin.serve.control")
    page, script = (folder.joinpath(name).read_text(encoding="utf-8") for name in ("status.html", "status.js"))
    page = page.replace("/* STYLE */", source("page.css") + stylesheet()).replace("/* SCRIPT */", script)
    return HTMLResponse(page, headers=_NO_CACHE)


async def _kinds() -> list[FaultKind]:
    """Return the kinds of faults that can be injected."""
    return [
        FaultKind(kind=entry.kind, on=entry.on, summary=entry.summary, lasting=entry.is_lasting)
        for entry in fault_catalogue()
    ]


def _status_response(error: ApiError) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if error.code == 401 else {}
    return JSONResponse(error.status, error.code, headers={**_NO_CACHE, **headers})


async def _on_api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _status_response(error)


async def _on_invalid_request(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _status_response(bad_request(error_line(error.errors())))


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    if path in _RENAMED:
        message = f"unknown path {path}; it is called {_RENAMED[path]} now"
    elif error.status_code == 404:
        message = f"not found: {path}"
    else:
        message = f"{error.detail}: {request.method} {path}"
    return _status_response(ApiError(error.status_code, _REASONS.get(error.status_code, ""), message))


_REASONS = {404: "NotFound", 405: "MethodNotAllowed"}
