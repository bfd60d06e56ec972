"""The twin's own face, beside Kubernetes': the status page, and what `twin fault`, `twin events` and `twin pace` call.

`/` is the page, `/twin/v1/…` what it and the commands ask for. Reading is open on loopback; what changes the world
needs the administrator's token, as everything does beyond loopback.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from importlib import resources
from typing import Any

from starlette.types import Receive, Scope, Send

from twin.apiserver import ApiError
from twin.apiserver.meta.errors import bad_request
from twin.apiserver.rest import TokenAuthenticator
from twin.apiserver.rest.auth.authentication import ANONYMOUS
from twin.apiserver.rest.http import Answer, Request, Response, Stream, body_of, encode_json, headers_of
from twin.apiserver.rest.server import error_response
from twin.evaluate.judge import evaluate
from twin.report import build_report
from twin.scenario import Fault, resolved
from twin.scenario.faults import LastingFault
from twin.scenario.units import duration
from twin.serve.clock import Pace
from twin.serve.control.fault_requests import NoFault, fault_from
from twin.serve.control.status_page import Overview
from twin.serve.operator.process_replica import SKEW, ProcessReplica
from twin.sim.simulation import Simulation
from twin.trace.lines import Line

PREFIX = "/twin/v1"


class Control:
    """Looks at a world, and changes its pace and its luck."""

    def __init__(
        self, simulation: Simulation, pace: Pace, access: TokenAuthenticator, *, trusting: bool, operated: bool
    ) -> None:
        """`trusting`: whether reading needs no token. `operated`: whether the operator is of this world."""
        self._simulation = simulation
        self._pace = pace
        self._access = access
        self._trusting = trusting
        self._operated = operated
        self._overview = Overview(simulation, pace)
        self._followers: set[asyncio.Queue[Line | None]] = set()
        simulation.recorder.on_line.append(self._told)

    def close(self) -> None:
        """Ends whoever follows the record."""
        for queue in self._followers:
            queue.put_nowait(None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = dict(part.partition("=")[::2] for part in scope["query_string"].decode("latin-1").split("&"))
        headers = headers_of(scope)
        try:
            user = self._access.authenticate(headers) if self._guarded(scope["method"]) else None
            if user is not None and not user.is_master:
                raise ApiError(403, "Forbidden", "the twin's own face is for the administrator")
            body = await body_of(receive)
            request = Request(scope["method"], scope["path"], query, headers, body, user or ANONYMOUS)
            answer = await self._answer(request)
        except ApiError as error:
            answer = error_response(error)
        await answer.send(send, receive)

    def _guarded(self, method: str) -> bool:
        return not (self._trusting and method in ("GET", "HEAD"))

    async def _answer(self, request: Request) -> Answer:
        match request.method, request.path.removeprefix(PREFIX).rstrip("/"):
            case "GET" | "HEAD", "":
                page = resources.files("twin.serve.control").joinpath("status.html").read_bytes()
                return Response(page, content_type="text/html; charset=utf-8")
            case "GET", "/world":
                return Response.of(self._overview.now())
            case "GET", "/report":
                return await self._report()
            case "GET", "/events":
                return self._events(request)
            case "POST", "/pace":
                return await self._set_pace(request.object())
            case "POST", "/faults":
                return self._befall(request.object())
        raise ApiError(404, "NotFound", f"the twin has nothing at {request.path}")

    # -- looking

    async def _report(self) -> Response:
        """The whole report of what has happened so far; it takes seconds where much has."""
        scenario, lines = self._simulation.scenario, list(self._simulation.recorder.lines)

        def drawn() -> str:
            return build_report(evaluate(lines, scenario.expect, scenario=resolved(scenario), partial=True)).html

        html = await asyncio.to_thread(drawn)
        return Response(html.encode(), content_type="text/html; charset=utf-8")

    def _events(self, request: Request) -> Stream:
        """The record, a line of JSON each: the last `tail` lines, and with `follow` what comes."""
        lines = self._simulation.recorder.lines
        tail = request.number("tail", len(lines))
        chosen = lines[max(0, len(lines) - tail) :]
        queue: asyncio.Queue[Line | None] = asyncio.Queue()
        if request.flag("follow"):
            self._followers.add(queue)
        else:
            queue.put_nowait(None)

        def close() -> None:
            self._followers.discard(queue)
            queue.put_nowait(None)

        return Stream(_followed(chosen, queue), close, "application/jsonl")

    def _told(self, line: Line) -> None:
        for queue in self._followers:
            queue.put_nowait(line)

    # -- changing

    async def _set_pace(self, asked: dict[str, Any]) -> Response:
        """`{"speed": X}`, `{"paused": true}` or `{"step": "10s"}`; answers when a step has been taken."""
        changes: dict[str, Callable[[Any], object]] = {
            "speed": lambda value: self._pace.set_speed(float(value)),
            "paused": lambda value: self._pace.pause() if value else self._pace.resume(),
            "step": lambda value: self._pace.step(duration(value)),
        }
        for name, value in asked.items():
            if name not in changes:
                raise bad_request(f'unknown field "{name}"; allowed: {", ".join(changes)}')
            try:
                changes[name](value)
            except (TypeError, ValueError) as error:
                raise bad_request(f"{name}: {error}") from error
        if "step" in asked:
            await self._pace.arrived()
        return Response.of(self._overview.now())

    def _befall(self, asked: dict[str, Any]) -> Response:
        try:
            fault = fault_from(asked, float(self._simulation.env.now))
            self._check(fault)
        except NoFault as error:
            raise bad_request(str(error)) from error
        number = self._simulation.befall([fault])
        until = fault.until if isinstance(fault, LastingFault) else None
        return Response.of({"number": number, "kind": fault.kind, "until": until}, 201)

    def _check(self, fault: Fault) -> None:
        """Whether there is anybody whom the fault could befall.

        Raises:
            NoFault: nobody.
        """
        if fault.on != "controller":
            return
        if not self._operated:
            raise NoFault(f"{fault.kind}: the operator is none of this world's (--no-controller); end it yourself")
        unclocked = any(isinstance(each, ProcessReplica) and not each.clocked for each in self._simulation.replicas)
        if fault.kind == SKEW and unclocked:
            raise NoFault(f"{fault.kind}: these processes go by the machine's clock; name it in the scenario's faults")


async def _followed(lines: Sequence[Line], queue: asyncio.Queue[Line | None]) -> AsyncIterator[bytes]:
    if lines:
        yield b"".join(encode_json(line) + b"\n" for line in lines)
    while (line := await queue.get()) is not None:
        yield encode_json(line) + b"\n"
