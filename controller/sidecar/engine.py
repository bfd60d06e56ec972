"""HTTP client of the engine in the same pod, vLLM or SGLang.

The `Authorization` header of a request is passed on and not stored; a request without one gets the sidecar's own key,
if it has one. Status, type and message of an engine's error are
returned to the client, which classifies them (`controller/engine/errors.py`).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec

from controller.engine.flavors import EngineFlavor
from controller.engine.response_body import BodyError, read_body
from controller.sidecar.errors import Code, SidecarError
from controller.sidecar.trace_context import trace_headers

_CONNECT_TIMEOUT = 5.0  # seconds; the engine is in the same pod
_LIST_TIMEOUT = 10.0
_HEALTH_TIMEOUT = 2.0
_METRICS_TIMEOUT = 5.0
_MAX_ANSWER = 1 << 20  # bytes
_KEPT_HEADERS = ("content-type", "retry-after", "date")


class _Model(msgspec.Struct):
    id: str
    root: str | None = None


class _Models(msgspec.Struct):
    data: list[_Model]


class _Detail(msgspec.Struct):
    message: str = ""
    type: str = ""


class _ErrorBody(msgspec.Struct):
    """Error envelopes of vLLM (two versions), FastAPI and SGLang."""

    error: _Detail | str | None = None
    message: str = ""
    type: str = ""
    detail: Any = None
    error_message: str = ""


class LocalEngine:
    """The engine in this pod. Methods raise `SidecarError`."""

    def __init__(
        self,
        base: str,
        dialect: EngineFlavor,
        transport: httpx.AsyncBaseTransport,
        *,
        api_key: str = "",
        load_timeout: float = 600.0,
    ) -> None:
        self.dialect = dialect
        self._base = base.rstrip("/")
        self._transport = transport
        self._authorization = f"Bearer {api_key}" if api_key else ""
        self._load_timeout = load_timeout

    async def models(self, key: str) -> dict[str, str]:
        """Return the path of each listed model, by name."""
        response = await self._send("GET", "/v1/models", key, _LIST_TIMEOUT)
        if response.status_code != 200:
            raise engine_error(response)
        try:
            return {model.id: model.root or "" for model in msgspec.json.decode(response.content, type=_Models).data}
        except (msgspec.MsgspecError, RecursionError):
            raise SidecarError(Code.ENGINE_UNAVAILABLE, "the engine's list of models is not valid") from None

    async def load(self, name: str, path: str, key: str) -> None:
        body: dict[str, object] = {"lora_name": name, "lora_path": path}
        response = await self._send("POST", self.dialect.load, key, self._load_timeout, body)
        if not response.is_success:
            raise engine_error(response)

    async def unload(self, name: str, key: str) -> None:
        response = await self._send("POST", self.dialect.unload, key, self._load_timeout, {"lora_name": name})
        if not response.is_success:
            raise engine_error(response)

    async def reset_prefix_cache(self, key: str) -> None:
        """Empty the prefix cache, where the engine's development mode allows it."""
        path = "/reset_prefix_cache?reset_running_requests=true"
        response = await self._send("POST", path, key, self._load_timeout)
        if not response.is_success and response.status_code != 404:
            raise engine_error(response)

    async def list_models(self, key: str) -> httpx.Response:
        """Return the engine's response to `/v1/models`."""
        return await self._send("GET", "/v1/models", key, _LIST_TIMEOUT)

    async def is_alive(self) -> bool:
        try:
            return (await self._send("GET", "/health", "", _HEALTH_TIMEOUT)).is_success
        except SidecarError:
            return False

    @asynccontextmanager
    async def metrics(self, path: str) -> AsyncIterator[httpx.Response]:
        """Open the metrics page; its body has not been read.

        Raises:
            SidecarError: if the engine does not respond.
        """
        request = self._request("GET", path, "", _METRICS_TIMEOUT)
        request.headers["accept-encoding"] = "identity"
        try:
            response = await self._transport.handle_async_request(request)
        except httpx.HTTPError as error:
            raise _transport_error(error, _METRICS_TIMEOUT) from None
        try:
            yield response
        finally:
            await response.aclose()

    async def _send(
        self, method: str, path: str, key: str, timeout: float, body: dict[str, object] | None = None
    ) -> httpx.Response:
        request = self._request(method, path, key, timeout, body)
        try:
            async with asyncio.timeout(timeout):
                response = await self._transport.handle_async_request(request)
                answer = await read_body(response, _MAX_ANSWER)
        except (httpx.HTTPError, TimeoutError, BodyError) as error:
            raise _transport_error(error, timeout) from None
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        return httpx.Response(response.status_code, headers=headers, content=answer, request=request)

    def _request(
        self, method: str, path: str, key: str, timeout: float, body: dict[str, object] | None = None
    ) -> httpx.Request:
        authorization = key or self._authorization
        if not authorization.isascii():
            raise SidecarError(Code.INVALID_REQUEST, "the header Authorization has characters that are not ASCII")
        headers = dict(trace_headers())
        if authorization:
            headers["authorization"] = authorization
        if body is not None:
            headers["content-type"] = "application/json"
        content = msgspec.json.encode(body) if body is not None else None
        timeouts = {"connect": min(_CONNECT_TIMEOUT, timeout), "read": timeout, "write": timeout, "pool": timeout}
        return httpx.Request(
            method, self._base + path, headers=headers, content=content, extensions={"timeout": timeouts}
        )


def engine_error(response: httpx.Response) -> SidecarError:
    """Return the error of an engine's response, with its status, type and message."""
    try:
        body = msgspec.json.decode(response.content, type=_ErrorBody)
    except (msgspec.MsgspecError, RecursionError):
        body = _ErrorBody(message=response.content[:300].decode(errors="replace").strip())
    inner = body.error if isinstance(body.error, _Detail) else _Detail(body.error or "", "")
    message = inner.message or body.message or body.error_message or str(body.detail or "")
    status = response.status_code
    if status in (502, 503, 504):
        return SidecarError(Code.ENGINE_UNAVAILABLE, f"the engine responds {status} {message}"[:500].rstrip())
    return SidecarError(
        Code.ENGINE_REFUSED,
        message[:500] or f"the engine responds {status}",
        status=status if status >= 400 else 502,
        type=inner.type or body.type,
    )


def _transport_error(error: Exception, timeout: float) -> SidecarError:
    if isinstance(error, BodyError):
        return SidecarError(Code.ENGINE_UNAVAILABLE, f"the engine's answer is not valid: {error}")
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return SidecarError(Code.ENGINE_UNAVAILABLE, "the engine does not accept connections")
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return SidecarError(Code.ENGINE_TIMEOUT, f"the engine did not respond within {timeout:g} s")
    return SidecarError(Code.ENGINE_UNAVAILABLE, f"the engine closed the connection ({type(error).__name__})")
