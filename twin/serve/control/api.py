"""The twin's own face, beside Kubernetes': the status page, and what `twin fault`, `twin events` and `twin clock` call.

`/` is the page, `/twin/v1/…` what it and the commands ask for. Reading is open on loopback; what changes the world
needs the administrator's token, as everything does beyond loopback.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from importlib import resources
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from formats.durations import parse_duration
from twin.apiserver import ApiError
from twin.apiserver.meta.errors import bad_request
from twin.apiserver.rest import TokenAuthenticator
from twin.apiserver.rest.auth.authentication import ANONYMOUS
from twin.apiserver.rest.codec.body import encode_json
from twin.apiserver.rest.http import Request, Stream, bytes_response, json_response
from twin.apiserver.rest.server import error_response
from twin.evaluate.judge import evaluate
from twin.report import build_report
from twin.scenario import Fault, resolved
from twin.scenario.faults import LastingFault
from twin.serve.clock import RealTimeClock
from twin.serve.control.fault_requests import FaultRequestError, fault_from
from twin.serve.control.status_page import StatusPage
from twin.serve.operator.process_replica import SKEW, ProcessReplica
from twin.sim.simulation import Simulation
from twin.trace.lines import Line

PREFIX = "/twin/v1"


class ControlApi:
    """Looks at a world, and changes its pace and its luck."""

    def __init__(
        self,
        simulation: Simulation,
        clock: RealTimeClock,
        access: TokenAuthenticator,
        *,
        trusting: bool,
        operated: bool,
    ) -> None:
        """`trusting`: whether reading needs no token. `operated`: whether the operator is of this world."""
        self._simulation = simulation
        self._clock = clock
        self._access = access
        self._trusting = trusting
        self._operated = operated
        self._overview = StatusPage(simulation, clock)
        self._followers: set[asyncio.Queue[Line | None]] = set()
        simulation.recorder.on_line.append(self._told)

    def close(self) -> None:
        """Ends whoever follows the record."""
        for queue in self._followers:
            queue.put_nowait(None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        incoming = HttpRequest(scope, receive)
        try:
            user = self._access.authenticate(incoming.headers) if self._guarded(incoming.method) else None
            if user is not None and not user.is_master:
                raise ApiError(403, "Forbidden", "the twin's own face is for the administrator")
            response = await self._answer(await Request.read(incoming, user or ANONYMOUS))
        except ApiError as error:
            response = error_response(error)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    def _guarded(self, method: str) -> bool:
        return not (self._trusting and method in ("GET", "HEAD"))

    async def _answer(self, request: Request) -> Response:
        match request.method, request.path.removeprefix(PREFIX).rstrip("/"):
            case "GET" | "HEAD", "":
                page = resources.files("twin.serve.control").joinpath("status.html").read_bytes()
                return bytes_response(page, "text/html; charset=utf-8")
            case "GET", "/world":
                return json_response(self._overview.now())
            case "GET", "/report":
                return await self._report()
            case "GET", "/events":
                return self._events(request)
            case "POST", "/clock":
                return await self._set_clock(request.object())
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
        return bytes_response(html.encode(), "text/html; charset=utf-8")

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

    async def _set_clock(self, asked: dict[str, Any]) -> Response:
        """`{"speed": X}`, `{"paused": true}` or `{"step": "10s"}`; answers when a step has been taken."""
        changes: dict[str, Callable[[Any], object]] = {
            "speed": lambda value: self._clock.set_speed(float(value)),
            "paused": lambda value: self._clock.pause() if value else self._clock.resume(),
            "step": lambda value: self._clock.step(parse_duration(value)),
        }
        for name, value in asked.items():
            if name not in changes:
                raise bad_request(f'unknown field "{name}"; allowed: {", ".join(changes)}')
            try:
                changes[name](value)
            except (TypeError, ValueError) as error:
                raise bad_request(f"{name}: {error}") from error
        if "step" in asked:
            await self._clock.arrived()
        return json_response(self._overview.now())

    def _befall(self, asked: dict[str, Any]) -> Response:
        try:
            fault = fault_from(asked, float(self._simulation.env.now))
            self._check(fault)
        except FaultRequestError as error:
            raise bad_request(str(error)) from error
        number = self._simulation.inject_faults([fault])
        until = fault.until if isinstance(fault, LastingFault) else None
        return json_response({"number": number, "kind": fault.kind, "until": until}, 201)

    def _check(self, fault: Fault) -> None:
        """Whether there is anybody whom the fault could befall.

        Raises:
            NoFault: nobody.
        """
        if fault.on != "controller":
            return
        if not self._operated:
            raise FaultRequestError(
                f"{fault.kind}: the operator is none of this world's (--no-controller); end it yourself"
            )
        unclocked = any(isinstance(each, ProcessReplica) and not each.clocked for each in self._simulation.replicas)
        if fault.kind == SKEW and unclocked:
            raise FaultRequestError(
                f"{fault.kind}: these processes go by the machine's clock; name it in the scenario's faults"
            )


async def _followed(lines: Sequence[Line], queue: asyncio.Queue[Line | None]) -> AsyncIterator[bytes]:
    if lines:
        yield b"".join(encode_json(line) + b"\n" for line in lines)
    while (line := await queue.get()) is not None:
        yield encode_json(line) + b"\n"
