"""The HTTP face on a real socket: an ASGI application around `router.respond`.

No framework: `router.py` already says what vLLM would, and a framework would cost more time a request than all the
rest. What is decided here is what only exists where there are real connections: how a fault looks on one, that a
body may be too large to be taken, and that an answer ends with the connection of who asked for it.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, MutableMapping
from typing import Any, Protocol

from fake_vllm import router
from fake_vllm.engine.engine import Engine, EngineClosed
from fake_vllm.faults.rules import FaultEffect, FaultRules, caller_of
from fake_vllm.router import Request, Response, Stream

Message = MutableMapping[str, Any]
Receive = Callable[[], Coroutine[Any, Any, Message]]
Send = Callable[[Message], Coroutine[Any, Any, None]]
Headers = Iterable[tuple[bytes, bytes]]

LARGEST_BODY = 8 << 20  # bytes; no prompt of a million tokens is as long
MOST_BODIES = 64 << 20  # bytes of all bodies that are being received; a thousand clients may send at once


class ConnectionReset(Protocol):
    """Tears a connection down, so that the client sees a reset; the client's address says which one."""

    def __call__(self, client: tuple[str, int] | None) -> None: ...


class AsgiApp:
    """The application for one engine."""

    def __init__(
        self,
        engine: Engine,
        faults: FaultRules | None = None,
        *,
        draw: Callable[[], float] | None = None,
        reset_connection: ConnectionReset | None = None,
    ) -> None:
        """Nothing is listened to yet.

        Args:
            engine: what answers.
            faults: what goes wrong; rules may come and go while the application runs.
            draw: numbers in [0, 1) for chancy faults; needed if there are `faults`.
            cut: resets a connection; without it one is closed without an answer instead.

        Raises:
            ValueError: if there are faults but nothing to draw from.
        """
        if faults is not None and draw is None:
            raise ValueError("App: faults need a `draw`, such as the `random` method of a numpy generator")
        self.engine = engine
        self._faults = faults
        self._draw = draw or float
        self._receiving = 0
        self.reset_connection = reset_connection

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One request, as ASGI brings it."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] != "http":
            return
        body = await self._body(receive)
        if body is None:
            await _send(send, _too_large())
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        request = Request(scope["method"], scope["path"], headers, body)
        try:
            await _until_disconnect(receive, self._answer(scope, request, send))
        except asyncio.CancelledError:  # the server ends, and its grace time is over
            await self._abort(scope, send)
            raise

    async def _body(self, receive: Receive) -> bytes | None:
        """The request's body; None if it is too large, or its sender has left."""
        chunks: list[bytes] = []
        size = 0
        try:
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                chunk = message.get("body", b"")
                size += len(chunk)
                self._receiving += len(chunk)
                if size > LARGEST_BODY or self._receiving > MOST_BODIES:
                    return None
                if not message.get("more_body", False):
                    return b"".join((*chunks, chunk)) if chunks else chunk
                chunks.append(chunk)
        finally:
            self._receiving -= size

    async def _answer(self, scope: MutableMapping[str, Any], request: Request, send: Send) -> None:
        verdict = self._verdict(request)
        try:
            if verdict is None:
                await _send(send, await router.handle(self.engine, request))
            else:
                await self._apply_fault(verdict, scope, request, send)
        except EngineClosed:
            await self._abort(scope, send)

    def _verdict(self, request: Request) -> FaultEffect | None:
        if self._faults is None or not self._faults.rules:
            return None
        caller = caller_of(request.path, request.headers.get("user-agent", ""))
        return self._faults.verdict(caller, request.path, router.requested_adapter(request), self._draw)

    async def _apply_fault(
        self, verdict: FaultEffect, scope: MutableMapping[str, Any], request: Request, send: Send
    ) -> None:
        if verdict.kind == "hang":
            await asyncio.Event().wait()
        if verdict.response is not None:
            await _send(send, verdict.response)
            return
        if verdict.kind == "slow" or verdict.after:
            response = await router.handle(self.engine, request, slow=verdict.factor)
            if verdict.kind == "slow":
                await _send(send, response)
                return
            if isinstance(response, Stream):
                await _begin(send, response)
        await self._abort(scope, send)

    async def _abort(self, scope: MutableMapping[str, Any], send: Send) -> None:
        """End the connection without an answer, or in the midst of one."""
        if self.reset_connection is not None:
            self.reset_connection(scope.get("client"))
            return
        # An answer that is shorter than it says: the server closes the connection then.
        await send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"1")]})


async def _until_disconnect(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Do `work` until it is done or the client has gone."""
    task = asyncio.ensure_future(work)
    left = asyncio.ensure_future(receive())
    try:
        await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
        elif not task.cancelled():
            task.result()
    finally:
        left.cancel()
        task.cancel()


async def _send(send: Send, response: Response | Stream) -> None:
    if isinstance(response, Stream):
        await _send_stream(send, response)
        return
    headers = [*_raw(response), (b"content-length", str(len(response.body)).encode())]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


async def _send_stream(send: Send, stream: Stream) -> None:
    await send({"type": "http.response.start", "status": stream.status, "headers": _raw(stream)})
    try:
        async for chunk in stream.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    finally:
        await _close(stream)
    await send({"type": "http.response.body", "body": b""})


async def _begin(send: Send, stream: Stream) -> None:
    """Send what comes first of a stream, and let the rest go."""
    await send({"type": "http.response.start", "status": stream.status, "headers": _raw(stream)})
    try:
        chunk = await anext(stream.chunks, b"")
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    finally:
        await _close(stream)


async def _close(stream: Stream) -> None:
    if isinstance(stream.chunks, AsyncGenerator):
        await stream.chunks.aclose()


def _raw(response: Response | Stream) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]


def _too_large() -> Response:
    message = f"The body is larger than {LARGEST_BODY} bytes, or too many large ones are sent at once."
    refusal = router.error(413, "BadRequestError", message)
    # What is left of the body is not read: the connection is of no more use.
    return Response(refusal.status, {**refusal.headers, "connection": "close"}, refusal.body)
