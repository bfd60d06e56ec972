"""The admin port: `/_faults`, where faults are asked for, listed and taken back while the engine serves.

    GET    /_faults        what was asked for and is not over; the kinds that there are
    POST   /_faults        one fault, or a list of them, in the words of a file; answers with their numbers
    DELETE /_faults        take all back
    DELETE /_faults/NUMBER take one back

It is off unless a port is named for it, and listens on loopback unless told otherwise: whoever reaches it can
break the engine.
"""

import asyncio
import contextlib
from collections.abc import MutableMapping
from typing import Any

import msgspec

from fake_vllm.faults.spec import KINDS, FaultSpec, shown
from fake_vllm.server.asgi import Receive, Send
from fake_vllm.server.fault_injector import FaultInjector
from fake_vllm.server.socket_server import SocketServer

_LARGEST = 1 << 20  # bytes of a body


class AdminServer:
    """Serves the admin port for one timetable."""

    def __init__(self, timetable: FaultInjector, host: str, port: int | None) -> None:
        self._timetable = timetable
        self._port = SocketServer(self, host, port or 0, ends_on_signals=False)
        self._serving: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Listen.

        Raises:
            OSError: if the port cannot be had.
        """
        self._port.bind()
        self._serving = asyncio.get_running_loop().create_task(self._port.listen())

    async def end(self) -> None:
        """Listen no more."""
        if self._serving is not None:
            self._port.should_exit = True
            self._port.force_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await self._serving

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One request, as ASGI brings it."""
        if scope["type"] != "http":
            return
        status, content = await self._answer(scope["method"], scope["path"], receive)
        body = b"" if content is None else msgspec.json.encode(content) + b"\n"
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers if body else []})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, method: str, path: str, receive: Receive) -> tuple[int, object]:
        where, _, number = path.strip("/").partition("/")
        if where != "_faults":
            return 404, {"error": "there is /_faults only"}
        match method, bool(number):
            case "GET", False:
                return 200, self._listed()
            case "POST", False:
                return await self._asked_for(receive)
            case "DELETE", False:
                self._timetable.clear()
                return 204, None
            case "DELETE", True:
                return self._taken_back(number)
        return 405, {"error": "allowed: GET, POST and DELETE of /_faults, DELETE of /_faults/NUMBER"}

    def _listed(self) -> object:
        planned = self._timetable.planned.items()
        faults = [{"id": number, "in_force": force, **shown(each)} for number, (each, force) in planned]
        return {"faults": faults, "kinds": {name: kind.summary for name, kind in KINDS.items()}}

    async def _asked_for(self, receive: Receive) -> tuple[int, object]:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > _LARGEST:
                return 413, {"error": f"the body is larger than {_LARGEST} bytes"}
            if not message.get("more_body", False):
                break
        try:
            said = msgspec.json.decode(body)
            planned = [FaultSpec.of(each) for each in (said if isinstance(said, list) else [said])]
        except (ValueError, RecursionError) as error:
            return 400, {"error": str(error)}
        return 201, {"ids": [self._timetable.add(each) for each in planned]}

    def _taken_back(self, number: str) -> tuple[int, object]:
        try:
            self._timetable.remove(int(number))
        except (ValueError, KeyError):
            return 404, {"error": f"there is no fault with the number {number}; it may be over"}
        return 204, None
