"""The HTTP side of the activator: finds the adapter that a request names, waits for it, and passes the request on.

The adapter is `model` in the JSON body, as for an engine. The host, the adapter's own Service,
distinguishes adapters of the same name in several namespaces. Errors have the form of OpenAI's API.
"""

import json
from typing import Any

import httpx

from controller.activator.activator import Activator, HoldError, Target

MOST_BYTES = 8 << 20
"""Size of a body that is held."""
_TIMEOUT = httpx.Timeout(None, connect=5.0).as_dict()
"""An answer may take as long as the client waits."""
_NOT_FORWARDED = frozenset(
    (
        b"connection",
        b"content-length",
        b"host",
        b"keep-alive",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""Headers of one connection (RFC 9110, 7.6.1), and those that httpx sets itself."""
_TYPES = {400: "BadRequestError", 404: "NotFoundError", 409: "ConflictError", 413: "BadRequestError"}


async def respond(
    activator: Activator | None, transport: httpx.AsyncBaseTransport, request: httpx.Request
) -> httpx.Response:
    """Return the answer to a request, from an engine if there is one in time.

    Args:
        activator: None if this replica does not lead, or does not know the adapters yet.
        transport: to engines.
        request: a complete request.
    """
    if request.method == "GET" and request.url.path == "/health":
        return httpx.Response(200, request=request)
    try:
        if activator is None:
            raise HoldError(503, "This operator does not lead, or has just begun to: try again.", 1)
        model = _model(request.content)
        target = await activator.hold(activator.find(model, request.headers.get("host", "")))
        return await _forward(transport, request, target)
    except HoldError as error:
        return _error(error, request)


async def _forward(transport: httpx.AsyncBaseTransport, request: httpx.Request, target: Target) -> httpx.Response:
    ip, port = target
    url = request.url.copy_with(scheme="http", host=ip, port=port)
    headers = [(name, value) for name, value in request.headers.raw if name.lower() not in _NOT_FORWARDED]
    sent = httpx.Request(
        request.method, url, headers=headers, content=request.content, extensions={"timeout": _TIMEOUT}
    )
    try:
        return await transport.handle_async_request(sent)
    except httpx.TransportError as error:
        raise HoldError(502, f"The engine at {ip}:{port} does not answer: {type(error).__name__}") from None


def _model(body: bytes) -> str:
    """Return the model that a body names."""
    try:
        parsed: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise HoldError(400, "The body is not valid JSON; it must be an object with `model`.") from None
    model = parsed.get("model") if isinstance(parsed, dict) else None
    if not isinstance(model, str) or not model:
        raise HoldError(400, "The body has no `model`.")
    return model.encode(errors="replace").decode()  # a half of a surrogate pair cannot be written to an answer


def _error(error: HoldError, request: httpx.Request) -> httpx.Response:
    kind = _TYPES.get(error.status, "ServiceUnavailable")
    body = {"error": {"message": error.message, "type": kind, "param": None, "code": error.status}}
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
    return httpx.Response(error.status, json=body, headers=headers, request=request)
