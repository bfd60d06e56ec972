"""The ASGI application of one server: what exists only on real connections, around the FastAPI application.

It applies faults, limits the size of bodies, checks the API key (as vLLM's own middleware does), and aborts work whose
client has left.

The short path: FastAPI's middleware, routing and dependencies take about twice as long as the engine's own work on a
completion, and FastAPI's import takes as long as the rest of the start. Requests for a path in `DIRECT` therefore call
`respond` here. The FastAPI endpoints of these paths do nothing else, so both ways give the same bytes.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, MutableMapping
from typing import Any, Protocol

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest

from fake_vllm import router
from fake_vllm.engine.engine import Engine, EngineClosed
from fake_vllm.faults.effects import FaultEffect, FaultRules
from fake_vllm.faults.rules import caller_of
from fake_vllm.router import Request, Response, Stream
from fake_vllm.server.front import Front, sending
from fake_vllm.server.http_metrics import Exchange, HttpMetrics, content_length, handler_of
from fake_vllm.server.responses import CALL, Call, close, respond, to_http

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Coroutine[Any, Any, Message]]
Send = Callable[[Message], Coroutine[Any, Any, None]]

Application = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]

DIRECT = (*router.GENERATING, router.MODELS_PATH, "/health")
"""Paths whose requests do not pass through FastAPI."""
LARGEST_BODY = 8 << 20  # bytes; larger than any prompt of a million tokens
MOST_BODIES = 64 << 20  # bytes of all bodies that are being received; a thousand clients may send at once


class ConnectionReset(Protocol):
    """Resets the connection of a client, given by its address."""

    def __call__(self, client: tuple[str, int] | None) -> None: ...


class AsgiApp:
    """The application for one engine, which may be replaced by another one of the same configuration."""

    def __init__(
        self,
        engine: Engine,
        faults: FaultRules | None = None,
        *,
        draw: Callable[[], float] | None = None,
        reset_connection: ConnectionReset | None = None,
        direct: Collection[str] = DIRECT,
    ) -> None:
        """Create the application.

        Args:
            engine: generates the responses.
            faults: injected faults; rules may be added and removed while the application runs.
            draw: numbers in [0, 1) for faults with a probability; required with `faults`.
            reset_connection: without it, a connection is closed without a response instead.
            direct: paths whose requests do not pass through FastAPI.

        Raises:
            ValueError: if there are faults but no `draw`.
        """
        if faults is not None and draw is None:
            raise ValueError("AsgiApp: faults need a `draw`, such as the `random` method of a numpy generator")
        self.engine = engine
        self._api: Application | None = None
        self._routes = router.routes(engine)
        self._direct = {path: route for path, route in self._routes.items() if path in direct}
        self._http_metrics = HttpMetrics() if engine.config.dialect == "vllm" else None
        self._front = Front(engine.config)
        self._faults = faults
        self._draw = draw or float
        self._receiving = 0
        self.reset_connection = reset_connection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] != "http":
            return
        http = HttpRequest(scope, receive)
        try:
            body = await self._read_body(http)
        except ClientDisconnect:
            return
        if body is None:
            await to_http(_too_large())(scope, receive, send)
            return
        root, path = router.split_root(self.engine, scope["path"])
        query = scope["query_string"].decode("latin-1")
        request = Request(scope["method"], path, dict(http.headers), body, query, root)
        try:
            await _until_disconnect(receive, self._respond(scope, request, send))
        except asyncio.CancelledError:  # the server stops, and its grace period has passed
            await self._abort(scope, send)
            raise

    async def _read_body(self, http: HttpRequest) -> bytes | None:
        """Return the request's body, None if it is too large.

        Raises:
            ClientDisconnect: if the client left before it was complete.
        """
        chunks: list[bytes] = []
        size = 0
        try:
            async for chunk in http.stream():
                size += len(chunk)
                self._receiving += len(chunk)
                if size > LARGEST_BODY or self._receiving > MOST_BODIES:
                    return None
                chunks.append(chunk)
            return b"".join(chunks)
        finally:
            self._receiving -= size

    async def _respond(self, scope: Scope, request: Request, send: Send) -> None:
        effect = self._fault_effect(request)
        try:
            if effect is None:
                await self._call(scope, Call(self.engine, request), send)
            else:
                await self._apply_fault(effect, scope, request, send)
        except EngineClosed:
            await self._abort(scope, send)

    async def _call(self, scope: Scope, call: Call, send: Send) -> None:
        """Respond with FastAPI, or on the short path."""
        call.engine.ensure_open()
        engine, request = call.engine, call.request
        refusal = router.authorize(engine, request)
        if refusal is not None or (refusal := self._front.preflight(request)) is not None:
            send = sending(send, self._front.headers(engine, request, cors=False))
            await to_http(refusal)(scope, _nothing_more, send)
            return
        headers = self._front.headers(engine, request)
        if self._http_metrics is not None:
            send = self._counting(scope, call, send)
        route = self._direct.get(request.path)
        call.http_metrics = self._http_metrics
        scope = {**scope, CALL: call}
        if route is not None and request.method in route.methods:
            response = await respond(call, route)
            response.raw_headers.extend(headers if not call.unhandled else ())
            await response(scope, _nothing_more, send)
        else:
            send = sending(send, headers, unless=lambda: call.unhandled)
            await self._fastapi()({**scope, "path": request.path}, _nothing_more, send)
        if call.engine_closed:
            raise EngineClosed

    def _counting(self, scope: Scope, call: Call, send: Send) -> Send:
        """Return a `send` that counts the request when its response is complete; an unhandled one counts as 500."""
        loop = asyncio.get_running_loop()
        started, metrics, request = loop.time(), self._http_metrics, call.request
        status, size = 0, 0

        async def counting(message: Message) -> None:
            nonlocal status, size
            await send(message)
            if message["type"] == "http.response.start":
                status = 500 if call.unhandled else message["status"]
                size = content_length(message.get("headers", ()))
            elif metrics is not None and not message.get("more_body"):
                handler = handler_of(request.path, self._routes)
                taken = content_length(scope["headers"])
                metrics.observe(Exchange(request.method, handler, status, taken, size, loop.time() - started))

        return counting

    def _fastapi(self) -> Application:
        if self._api is None:
            from fake_vllm.server.api import create_api  # takes most of a second on a slow machine

            self._api = create_api(self.engine)
        return self._api

    def _fault_effect(self, request: Request) -> FaultEffect | None:
        if self._faults is None or not self._faults.rules:
            return None
        caller = caller_of(request.path, request.headers.get("user-agent", ""))
        return self._faults.effect(caller, request.path, router.requested_adapter(request), self._draw)

    async def _apply_fault(self, effect: FaultEffect, scope: Scope, request: Request, send: Send) -> None:
        if effect.kind == "hang":
            await asyncio.Event().wait()
        if effect.response is not None:
            await to_http(effect.response)(scope, _nothing_more, send)
            return
        if effect.kind == "slow":
            await self._call(scope, Call(self.engine, request, effect.factor), send)
            return
        if effect.kind == "alter":
            response = effect.altered(await router.handle(self.engine, request, slow=effect.factor))
            await to_http(response)(scope, _nothing_more, send)
            return
        if effect.after:
            response = await router.handle(self.engine, request, slow=effect.factor)
            if isinstance(response, Stream):
                await _send_first_chunk(response, send)
        await self._abort(scope, send)

    async def _abort(self, scope: Scope, send: Send) -> None:
        """End the connection without a response, or in the middle of one."""
        if self.reset_connection is not None:
            self.reset_connection(scope.get("client"))
            return
        # A response that is shorter than it declares: the server closes the connection.
        await send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"1")]})


async def _until_disconnect(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Run `work` until it is done or the client has left."""
    task = asyncio.ensure_future(work)
    disconnect = asyncio.ensure_future(receive())
    try:
        await asyncio.wait((task, disconnect), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
        elif not task.cancelled():
            task.result()
    finally:
        disconnect.cancel()
        task.cancel()


async def _nothing_more() -> Message:
    """Receive for an application whose request was read: `_until_disconnect` watches the connection."""
    await asyncio.Event().wait()
    raise AssertionError("never set")


async def _send_first_chunk(stream: Stream, send: Send) -> None:
    """Send the beginning of a stream, and abort the rest."""
    headers = to_http(stream).raw_headers
    try:
        await send({"type": "http.response.start", "status": stream.status, "headers": headers})
        chunk = await anext(stream.chunks, b"")
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    finally:
        await close(stream)


def _too_large() -> Response:
    message = f"The body is larger than {LARGEST_BODY} bytes, or too many large ones are sent at once."
    refusal = router.error_response(413, "BadRequestError", message)
    # The rest of the body is not read, so the connection cannot be used again.
    return Response(refusal.status, {**refusal.headers, "connection": "close"}, refusal.body)
