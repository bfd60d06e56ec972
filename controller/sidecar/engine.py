"""What the sidecar asks of the engine beside it, vLLM or SGLang, and what the answers mean.

The caller's `Authorization` is passed on with each request and kept nowhere. An engine that refuses is quoted: its
status, type and message go to whoever asked, who knows how to read them (`controller/engine/errors.py`).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec

from controller.engine.flavors import EngineFlavor
from controller.sidecar.errors import Code, SidecarError

_CONNECT = 5.0  # seconds; the engine is in the same pod
_LIST = 10.0
_ALIVE = 2.0
_SCRAPE = 5.0


class _Model(msgspec.Struct):
    id: str
    root: str | None = None


class _Models(msgspec.Struct):
    data: list[_Model]


class _Detail(msgspec.Struct):
    message: str = ""
    type: str = ""


class _Refusal(msgspec.Struct):
    """vLLM's envelope, an older one, FastAPI's, and SGLang's, in one."""

    error: _Detail | str | None = None
    message: str = ""
    type: str = ""
    detail: Any = None
    error_message: str = ""


class LocalEngine:
    """The engine of this pod. Methods raise `SidecarError` and nothing else of their own."""

    def __init__(
        self, base: str, dialect: EngineFlavor, transport: httpx.AsyncBaseTransport, load_timeout: float = 600.0
    ) -> None:
        self.dialect = dialect
        self._base = base.rstrip("/")
        self._transport = transport
        self._load_timeout = load_timeout

    async def models(self, key: str) -> dict[str, str]:
        """Name to root of what is listed."""
        response = await self._ask("GET", "/v1/models", key, _LIST)
        if response.status_code != 200:
            raise refusal(response)
        try:
            return {model.id: model.root or "" for model in msgspec.json.decode(response.content, type=_Models).data}
        except msgspec.MsgspecError:
            raise SidecarError(Code.ENGINE_UNAVAILABLE, "the engine's list of models is not valid") from None

    async def load(self, name: str, path: str, key: str, *, in_place: bool = False) -> None:
        body: dict[str, object] = {"lora_name": name, "lora_path": path}
        if in_place:
            body["load_inplace"] = True
        response = await self._ask("POST", self.dialect.load, key, self._load_timeout, body)
        if not response.is_success:
            raise refusal(response)

    async def unload(self, name: str, key: str) -> None:
        response = await self._ask("POST", self.dialect.unload, key, self._load_timeout, {"lora_name": name})
        if not response.is_success:
            raise refusal(response)

    async def listing(self, key: str) -> httpx.Response:
        """`/v1/models` as the engine answers it."""
        return await self._ask("GET", "/v1/models", key, _LIST)

    async def alive(self) -> bool:
        try:
            return (await self._ask("GET", "/health", "", _ALIVE)).is_success
        except SidecarError:
            return False

    @asynccontextmanager
    async def metrics(self, path: str) -> AsyncIterator[httpx.Response]:
        """The page of metrics, its body still to be read.

        Raises:
            SidecarError: there is none.
        """
        request = self._request("GET", path, "", _SCRAPE)
        request.headers["accept-encoding"] = "identity"
        try:
            response = await self._transport.handle_async_request(request)
        except httpx.HTTPError as error:
            raise _unanswered(error, _SCRAPE) from None
        try:
            yield response
        finally:
            await response.aclose()

    async def _ask(
        self, method: str, path: str, key: str, timeout: float, body: dict[str, object] | None = None
    ) -> httpx.Response:
        request = self._request(method, path, key, timeout, body)
        try:
            async with asyncio.timeout(timeout):
                response = await self._transport.handle_async_request(request)
                try:
                    await response.aread()
                finally:
                    await response.aclose()
        except (httpx.HTTPError, TimeoutError) as error:
            raise _unanswered(error, timeout) from None
        return response

    def _request(
        self, method: str, path: str, key: str, timeout: float, body: dict[str, object] | None = None
    ) -> httpx.Request:
        headers = {"authorization": key} if key else {}
        if body is not None:
            headers["content-type"] = "application/json"
        content = msgspec.json.encode(body) if body is not None else None
        times = {"connect": min(_CONNECT, timeout), "read": timeout, "write": timeout, "pool": timeout}
        return httpx.Request(method, self._base + path, headers=headers, content=content, extensions={"timeout": times})


def refusal(response: httpx.Response) -> SidecarError:
    """The engine's own words."""
    try:
        said = msgspec.json.decode(response.content, type=_Refusal)
    except msgspec.MsgspecError:
        said = _Refusal(message=response.content[:300].decode(errors="replace").strip())
    inner = said.error if isinstance(said.error, _Detail) else _Detail(said.error or "", "")
    message = inner.message or said.message or said.error_message or str(said.detail or "")
    status = response.status_code
    if status in (502, 503, 504):
        return SidecarError(Code.ENGINE_UNAVAILABLE, f"the engine answers {status} {message}"[:500].rstrip())
    return SidecarError(
        Code.ENGINE_REFUSED,
        message[:500] or f"the engine answers {status}",
        status=status if status >= 400 else 502,
        type=inner.type or said.type,
    )


def _unanswered(error: Exception, timeout: float) -> SidecarError:
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return SidecarError(Code.ENGINE_UNAVAILABLE, "the engine does not take connections")
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return SidecarError(Code.ENGINE_TIMEOUT, f"the engine did not answer in {timeout:g} s")
    return SidecarError(Code.ENGINE_UNAVAILABLE, f"the engine closed the connection ({type(error).__name__})")
