"""Seam 2: load, unload and list adapters on an engine; what went wrong, and whether to try again.

Engines are vLLM or SGLang (`dialects.py`). One may have the runtime sidecar before it, which is asked in its own words
(`order`, `cancel`), and answers for itself with codes and for the engine with the engine's words. An `EngineClient`
speaks through an `httpx` transport: real sockets on a cluster, the simulated network in the twin.
`classify` and `failure` are the one place where errors are sorted, on exception type, status and code first, text last
(vLLM answers 500 for an adapter's own faults as well, and SGLang 400 for everything, so the text has to decide there).
"""

import asyncio
import errno
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import httpx
import msgspec

from controller.codes import CODES
from controller.dialects import VLLM, Dialect


class Scope(Enum):
    """Whom a final error is about, and so who is not to be tried again for a while."""

    ADAPTER = "adapter"
    """No other pod would do better."""
    POD = "pod"
    """Another pod may."""


class EngineError(Exception):
    """A request to an engine failed. The message can be shown: it holds no key."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        retriable: bool,
        scope: Scope = Scope.POD,
        ambiguous: bool = False,
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        """One word for conditions, CamelCase."""
        self.message = message
        self.retriable = retriable
        self.scope = scope
        self.ambiguous = ambiguous
        """Whether the engine may have done, or may still do, what was asked."""
        self.retry_after = retry_after
        """Seconds that the engine asked to wait; 0 if it did not."""


class AlreadyLoaded(EngineError):
    """The name is taken on this engine; whether by the same artifact has to be looked up."""


class RemoveFailed(EngineError):
    """The engine has dropped the weights and cannot remove the name: load in place, then unload again."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where an engine listens, its key, and how it is spoken to."""

    host: str
    port: int
    key: str = field(default="", repr=False)
    dialect: Dialect = VLLM

    @property
    def base(self) -> str:
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Listed:
    """What an engine lists. Nobody mutates it."""

    adapters: Mapping[str, str]
    """Name to root."""
    bases: frozenset[str]
    """Names and roots of what it serves that is no adapter."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a runtime sidecar is asked to fetch and load."""

    name: str
    url: str
    credentials: dict[str, str] = field(default_factory=dict, repr=False)
    config: dict[str, str] = field(default_factory=dict)


class _Model(msgspec.Struct):
    id: str
    root: str | None = None
    parent: str | None = None
    max_model_len: int | None = None


class _Models(msgspec.Struct):
    data: list[_Model]


class _Detail(msgspec.Struct):
    message: str = ""
    type: str = ""
    code: Any = None
    """vLLM: the status once more. The sidecar: a word."""


class _Brought(msgspec.Struct):
    """A sidecar's answer to an order."""

    local_path: str


class _Failure(msgspec.Struct):
    """vLLM's error envelope; older versions have the message at the top, plain routing errors a `detail`, and SGLang
    an `error_message` for loads and unloads."""

    error: _Detail | str | None = None
    message: str = ""
    type: str = ""
    detail: Any = None
    error_message: str | None = None


Heard = Callable[[str, str, float], None]
"""Hears of each request: verb, status (or the reason of its error if there was no answer), seconds."""

_CONNECT_SECONDS = 10.0
"""Longest wait for a connection; loading has a long timeout of its own, connecting has not."""

_MODELS = msgspec.json.Decoder(_Models)
_BROUGHT = msgspec.json.Decoder(_Brought)
_FAILURE = msgspec.json.Decoder(_Failure)


class EngineClient:
    """Speaks to engines. Every method raises `EngineError` and nothing else of its own."""

    def __init__(self, transport: httpx.AsyncBaseTransport, heard: Heard = lambda *_: None) -> None:
        self._transport = transport
        self._heard = heard
        self._lists: dict[Address, httpx.Request] = {}
        self._bodies: dict[Address, tuple[bytes, Listed]] = {}

    async def models(self, address: Address, timeout: float) -> Listed:
        """What `GET /v1/models` lists; the same object as long as the answer is the same."""
        request = self._lists.get(address)
        if request is None:
            request = self._request(address, "GET", "/v1/models", None, timeout)
            self._lists[address] = request
        response, body = await self._send("list", request, timeout)
        if response.status_code != 200:
            raise failure("list", response, body)
        # The same bytes come back a thousand times a day: decode them once.
        known = self._bodies.get(address)
        if known is not None and known[0] == body:
            return known[1]
        try:
            listed = _listed(_MODELS.decode(body).data)
        except msgspec.MsgspecError:
            raise EngineError("InvalidAnswer", "the engine's list of models is not valid", retriable=True) from None
        self._bodies[address] = (body, listed)
        return listed

    async def metrics(self, address: Address, timeout: float) -> bytes:
        """What `GET /metrics` answers."""
        response, body = await self._send("metrics", self._request(address, "GET", "/metrics", None, timeout), timeout)
        if response.status_code != 200:
            raise failure("metrics", response, body)
        return body

    async def load(self, address: Address, name: str, path: str, timeout: float, *, in_place: bool = False) -> None:
        """Loads `path` as `name`; raises `AlreadyLoaded` if the name is taken."""
        body: dict[str, object] = {"lora_name": name, "lora_path": path}
        if in_place:
            body["load_inplace"] = True
        await self._post(address, "load", address.dialect.load, body, timeout)

    async def unload(self, address: Address, name: str, timeout: float) -> None:
        """Unloads `name`; that it was not there is success. Raises `RemoveFailed` if only a load in place helps."""
        await self._post(address, "unload", address.dialect.unload, {"lora_name": name}, timeout)

    async def order(self, address: Address, order: Order, timeout: float) -> str:
        """Has the sidecar load an artifact; returns its `root`. Raises `AlreadyLoaded` if the name is taken."""
        body: dict[str, object] = {"lora_name": order.name, "artifact_url": order.url}
        if order.credentials:
            body["credentials"] = order.credentials
        if order.config:
            body["additional_config"] = order.config
        answer = await self._post(address, "load", "/v1/lora_adapter/load", body, timeout)
        try:
            return _BROUGHT.decode(answer).local_path
        except msgspec.MsgspecError:
            raise EngineError(
                "InvalidAnswer", "the sidecar's answer is not valid", retriable=True, ambiguous=True
            ) from None

    async def cancel(self, address: Address, name: str, timeout: float) -> None:
        """Has the sidecar unload `name` and remove its files; that it was not there is success."""
        body: dict[str, object] = {"lora_name": name, "cleanup_local": True}
        await self._post(address, "unload", "/v1/lora_adapter/unload", body, timeout)

    def forget(self, host: str) -> None:
        """Drops what was kept for an engine that is gone."""
        for address in [address for address in self._lists if address.host == host]:
            del self._lists[address]
            self._bodies.pop(address, None)

    async def _post(self, address: Address, verb: str, path: str, body: dict[str, object], timeout: float) -> bytes:
        request = self._request(address, "POST", path, msgspec.json.encode(body), timeout)
        response, answer = await self._send(verb, request, timeout)
        if response.status_code == 200 or (verb == "unload" and _was_not_there(response.status_code, answer)):
            return answer
        raise failure(verb, response, answer)

    async def _send(self, verb: str, request: httpx.Request, timeout: float) -> tuple[httpx.Response, bytes]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(timeout):
                response = await self._transport.handle_async_request(request)
                body = await response.aread()
        except (httpx.HTTPError, TimeoutError) as error:
            classified = classify(error, timeout)
            self._heard(verb, classified.reason, loop.time() - started)
            raise classified from error
        self._heard(verb, str(response.status_code), loop.time() - started)
        return response, body

    @staticmethod
    def _request(address: Address, method: str, path: str, body: bytes | None, timeout: float) -> httpx.Request:
        headers = {"authorization": f"Bearer {address.key}"} if address.key else {}
        if body is not None:
            headers["content-type"] = "application/json"
        connect = min(timeout, _CONNECT_SECONDS)
        times = {"connect": connect, "read": timeout, "write": timeout, "pool": timeout}
        return httpx.Request(method, address.base + path, headers=headers, content=body, extensions={"timeout": times})


def _listed(models: Sequence[_Model]) -> Listed:
    """A base model has a length and no parent (vLLM's `ModelCard`); old versions gave adapters no parent either."""
    bases = [model for model in models if model.parent is None and model.max_model_len is not None]
    return Listed(
        adapters={model.id: model.root or "" for model in models if model not in bases},
        bases=frozenset(name for model in bases for name in (model.id, model.root) if name),
    )


def classify(error: Exception, timeout: float) -> EngineError:
    """The `EngineError` of a request that got no answer: all of these are worth another try."""
    match error:
        case httpx.ConnectTimeout():
            return EngineError("ConnectTimeout", "connection timeout", retriable=True)
        case httpx.ConnectError():
            return EngineError("ConnectError", _unconnected(error), retriable=True)
        case httpx.TimeoutException() | TimeoutError():
            return EngineError("Timeout", f"timeout: no answer in {timeout:g} s", retriable=True, ambiguous=True)
        case httpx.RemoteProtocolError():
            return EngineError("Disconnected", "server closed the connection early", retriable=True, ambiguous=True)
        case httpx.ReadError() | httpx.WriteError() | httpx.CloseError():
            return EngineError("ConnectionReset", "connection reset", retriable=True, ambiguous=True)
    return EngineError("RequestFailed", type(error).__name__, retriable=True, ambiguous=True)


_NO_CONNECTION = {
    errno.ECONNREFUSED: "connection refused",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable",
    socket.EAI_AGAIN: "temporary failure",
}


def _unconnected(error: BaseException) -> str:
    """What the system said. The library says it in its own words (on real sockets, that all attempts failed), and has
    the system's behind them."""
    cause: BaseException | None = error
    while cause is not None:
        said = str(cause).lower()
        for number, text in _NO_CONNECTION.items():
            if text in said or (isinstance(cause, OSError) and cause.errno == number):
                return text
        cause = cause.__cause__ or cause.__context__
    return "no connection"


_ADAPTERS_FAULT = (
    "loading lora",
    "max_lora_rank",
    "target module",
    "safetensors",
    "deserializing",
    "adapter_config",
    "invalid adapter",
)
"""In the text of a 500: it is the adapter (vLLM's `serving.py` passes the engine's own text on)."""

_TAKEN = ("already been loaded", "it is already loaded", "already exists. loaded loras")
"""Of vLLM, and of SGLang by what noticed first."""

_SGLANGS = (
    ("lora is not enabled", "RuntimeUpdatingOff", Scope.POD),
    ("out of memory", "OutOfMemory", Scope.POD),
    ("lora memory pool", "InvalidAdapter", Scope.ADAPTER),
    ("repository not found", "ArtifactNotFound", Scope.ADAPTER),
    ("repo id must be", "ArtifactNotFound", Scope.ADAPTER),
)
"""In the text of a 400: what SGLang means (lora/lora_manager.py; of paths and repositories huggingface_hub speaks)."""

_RETRIABLE = frozenset({408, 429, 500, 502, 503, 504})


def _coded(code: str, message: str, response: httpx.Response) -> EngineError | None:
    """The `EngineError` of a sidecar's code (`sidecar/errors.py`); None if the engine's own words decide."""
    if code == "name_taken":
        return AlreadyLoaded("AlreadyLoaded", message, retriable=False)
    if code == "engine_timeout":
        return EngineError("Timeout", message, retriable=True, ambiguous=True)
    known = CODES.get(code)
    if known is None:
        return None
    scope = Scope.ADAPTER if known.adapters_fault else Scope.POD
    return EngineError(
        known.reason, message, retriable=known.retriable, scope=scope, retry_after=_retry_after(response)
    )


def _sglangs(text: str, shown: str) -> EngineError | None:
    """The `EngineError` of a refusal that only SGLang puts so; None for others, its own unknown ones too."""
    for sign, reason, scope in _SGLANGS:
        if sign in text:
            return EngineError(reason, shown, retriable=False, scope=scope)
    return None


def failure(verb: str, response: httpx.Response, body: bytes) -> EngineError:
    """The `EngineError` of an answer that is not 200."""
    status, said = response.status_code, _text(body)
    text = said.message.lower()
    shown = f"{status} {said.message}".strip()[:300]
    if isinstance(said.code, str) and (coded := _coded(said.code, said.message[:300], response)) is not None:
        return coded
    if status in (401, 403):
        hint = "the engine refuses the key: see additionalConfig.api-key or apiKeySecretRef"
        return EngineError("Unauthorized", f"{status} {hint}", retriable=False)
    if any(sign in text for sign in _TAKEN):
        return AlreadyLoaded("AlreadyLoaded", shown, retriable=False)
    if status == 400 and (refused := _sglangs(text, shown)) is not None:
        return refused
    if status == 404 and not said.type:
        return EngineError(
            "RuntimeUpdatingOff",
            "404 the engine has no such route: set VLLM_ALLOW_RUNTIME_LORA_UPDATING=True on it; if it is SGLang, say so"
            " by its pod's label model.aibrix.ai/engine",
            retriable=False,
        )
    if status == 404:
        return EngineError("ArtifactNotFound", shown, retriable=False, scope=Scope.ADAPTER)
    if status == 500 and verb == "unload" and "failed to remove" in text:
        return RemoveFailed("RemoveFailed", shown, retriable=True)
    if status == 500 and any(sign in text for sign in _ADAPTERS_FAULT):
        return EngineError("InvalidAdapter", shown, retriable=False, scope=Scope.ADAPTER)
    if status == 500 and "out of memory" in text:
        return EngineError("OutOfMemory", shown, retriable=False)
    if status in _RETRIABLE:
        return EngineError(
            "Overloaded" if status == 429 else "EngineUnavailable",
            shown,
            retriable=True,
            ambiguous=status in (408, 502, 504),  # 502: a proxy on the way that heard no end of it
            retry_after=_retry_after(response),
        )
    scope = Scope.ADAPTER if status in (400, 422) else Scope.POD
    return EngineError("Refused", shown, retriable=status > 500, scope=scope)


def _text(body: bytes) -> _Detail:
    try:
        said = _FAILURE.decode(body)
    except msgspec.MsgspecError:
        return _Detail(message=body[:200].decode(errors="replace").strip())
    if isinstance(said.error, _Detail):
        return said.error
    if isinstance(said.error, str):
        return _Detail(message=said.error)
    return _Detail(message=said.message or said.error_message or str(said.detail or ""), type=said.type)


def _was_not_there(status: int, body: bytes) -> bool:
    """Whether an unload is refused because the engine knows no such name: vLLM's words, then SGLang's."""
    text = _text(body).message
    return (status == 404 and "cannot be found" in text) or (status == 400 and "does not exist" in text)


def _retry_after(response: httpx.Response) -> float:
    """Seconds; the header's other form, a date, is not used by engines."""
    try:
        return max(float(response.headers.get("retry-after", "0")), 0.0)
    except ValueError:
        return 0.0
