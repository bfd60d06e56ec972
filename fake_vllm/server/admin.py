"""The admin port: `/_faults`, to inject, list and remove faults while the engine serves.

    GET    /_faults        faults that are not over, and the kinds that exist
    POST   /_faults        inject a fault, or a list of them, written as in a file; returns their ids
    DELETE /_faults        remove all faults
    DELETE /_faults/ID     remove one fault

It is off unless a port is given, and listens on loopback by default: every client of it can break the engine.
"""

import asyncio
import contextlib
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from fake_vllm.faults.spec import KINDS, FaultSpec, describe
from fake_vllm.server.fault_injector import FaultInjector
from fake_vllm.server.socket_server import SocketServer

_LARGEST_BODY = 1 << 20  # bytes


class AdminServer:
    """Serves the admin port of one fault injector."""

    def __init__(self, injector: FaultInjector, host: str, port: int | None) -> None:
        self._api = create_admin_api(injector)
        self._server = SocketServer(host, port or 0)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: if the port is not available.
        """
        self._server.bind()
        self._serving = asyncio.get_running_loop().create_task(self._server.listen(self._api))

    async def stop(self) -> None:
        """Stop listening."""
        if self._serving is not None:
            self._server.should_exit = True
            self._server.force_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await self._serving


def create_admin_api(injector: FaultInjector) -> FastAPI:
    """Return the application of the admin port."""
    api = FastAPI(title="fake-vllm faults", redirect_slashes=False)

    @api.get("/_faults")
    async def list_faults() -> dict[str, Any]:
        """List the faults that are not over, and the kinds that exist."""
        faults = [
            {"id": number, "in_force": in_force, **describe(spec)}
            for number, (spec, in_force) in injector.faults.items()
        ]
        return {"faults": faults, "kinds": {name: kind.summary for name, kind in KINDS.items()}}

    @api.post("/_faults")
    async def inject(request: Request) -> Response:
        """Inject a fault or a list of faults."""
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LARGEST_BODY:
                return _error(413, f"the body is larger than {_LARGEST_BODY} bytes")
        try:  # any content type will do: `curl -d` declares a form
            content = msgspec.json.decode(body)
            specs = [FaultSpec.parse(item) for item in (content if isinstance(content, list) else [content])]
        except (ValueError, RecursionError) as error:
            return _error(400, str(error))
        return JSONResponse({"ids": [injector.add(spec) for spec in specs]}, 201)

    @api.delete("/_faults", status_code=204)
    async def remove_all() -> None:
        """Remove all faults."""
        injector.clear()

    @api.delete("/_faults/{number}", status_code=204, response_model=None)
    async def remove(number: str) -> Response | None:
        """Remove one fault."""
        try:
            injector.remove(int(number))
        except (ValueError, KeyError):
            return _error(404, f"no fault has the id {number}; it may be over")
        return None

    api.add_exception_handler(HTTPException, _refuse)
    return api


async def _refuse(request: Request, error: Exception) -> Response:  # noqa: ARG001 - FastAPI's signature
    if isinstance(error, HTTPException) and error.status_code == 405:
        return _error(405, "allowed: GET, POST and DELETE of /_faults, DELETE of /_faults/ID")
    return _error(404, "not found; the only path is /_faults")


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status)
