"""HTTP client of engines: load, unload and list adapters. Errors are classified in `errors.py`.

Engines are vLLM or SGLang (`flavors.py`). An engine may be behind the runtime sidecar, which has its own API (`order`,
`cancel`). The `httpx` transport is injected: real sockets on a cluster, the simulated network in the twin.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import httpx
import msgspec

from controller.engine.errors import EngineError, classify, failure, name_unknown
from controller.engine.flavors import VLLM, EngineFlavor
from controller.engine.response_body import BodyError, read_body
from controller.tracing.interface import NO_TRACES, Tracer


@dataclass(frozen=True, slots=True)
class Address:
    """Address, API key and kind of an engine."""

    host: str
    port: int
    key: str = field(default="", repr=False)
    flavor: EngineFlavor = VLLM

    @property
    def base(self) -> str:
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class AdapterList:
    """Models of an engine. Not to be mutated."""

    adapters: Mapping[str, str]
    """`root` by name."""
    bases: frozenset[str]
    """Names and roots of base models."""


@dataclass(frozen=True, slots=True)
class LoadOrder:
    """Request for a runtime sidecar to fetch and load an artifact."""

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


class _OrderResponse(msgspec.Struct):
    """Response of a sidecar to a `LoadOrder`."""

    local_path: str


class InspectedArtifact(msgspec.Struct, frozen=True):
    """Facts about an artifact, as a sidecar answers them; None if unknown."""

    rank: Annotated[int, msgspec.Meta(ge=0, le=(1 << 31) - 1)] | None = None
    size_bytes: Annotated[int, msgspec.Meta(ge=0, le=1 << 60)] | None = None
    target_modules: tuple[str, ...] | None = None
    base_model: str | None = None


RequestObserver = Callable[[str, str, float], None]
"""Called after each request with its verb, status (or the reason of its error without an answer) and seconds."""

_RESET_PATH = "/reset_prefix_cache?reset_running_requests=true"
"""Without the parameter, a reset has no effect while any request runs."""
_CONNECT_SECONDS = 10.0
"""Connect timeout: a load may take long, a connection may not."""

_MAX_ANSWER = 1 << 20
_MAX_METRICS = 16 << 20
"""Bytes of a body."""
_MAX_MODELS = 10_000
_MAX_CACHED = 64 << 10
"""Bytes of a list of models up to which it is kept, since there may be thousands of engines."""

_MODELS = msgspec.json.Decoder(_Models)
_INSPECTED = msgspec.json.Decoder(InspectedArtifact)
_ORDER_RESPONSE = msgspec.json.Decoder(_OrderResponse)


class EngineClient:
    """Client of all engines. Every method raises `EngineError` if the request fails."""

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        observer: RequestObserver = lambda *_: None,
        tracer: Tracer = NO_TRACES,
    ) -> None:
        self._transport = transport
        self._observer = observer
        self._tracer = tracer
        self._lists: dict[Address, httpx.Request] = {}
        self._bodies: dict[Address, tuple[bytes, AdapterList]] = {}

    async def models(self, address: Address, timeout: float) -> AdapterList:
        """Return the response of `GET /v1/models`; the same object as long as the response is the same."""
        request = self._lists.get(address)
        if request is None:
            request = self._request(address, "GET", "/v1/models", None, timeout)
            self._lists[address] = request
        response, body = await self._send("list", request, timeout)
        if response.status_code != 200:
            raise failure("list", response, body)
        # Audits get the same bytes thousands of times a day: decode them once.
        cached = self._bodies.get(address)
        if cached is not None and cached[0] == body:
            return cached[1]
        adapters = _adapter_list(_decode_models(body))
        if len(body) <= _MAX_CACHED:
            self._bodies[address] = (body, adapters)
        return adapters

    async def metrics(self, address: Address, timeout: float) -> bytes:
        """Return the response of `GET /metrics`."""
        request = self._request(address, "GET", "/metrics", None, timeout)
        response, body = await self._send("metrics", request, timeout, _MAX_METRICS)
        if response.status_code != 200:
            raise failure("metrics", response, body)
        return body

    async def load(self, address: Address, name: str, path: str, timeout: float) -> None:
        """Load `path` as `name`.

        Raises:
            AlreadyLoaded: the name is taken.
        """
        await self._post(address, "load", address.flavor.load, {"lora_name": name, "lora_path": path}, timeout)

    async def unload(self, address: Address, name: str, timeout: float) -> None:
        """Unload `name`; a name that is not loaded is success."""
        await self._post(address, "unload", address.flavor.unload, {"lora_name": name}, timeout)

    async def reset_prefix_cache(self, address: Address, timeout: float) -> None:
        """Empty the prefix cache; running requests are computed again. Needs vLLM's development mode.

        An engine without the route is success: nothing can be done.
        """
        request = self._request(address, "POST", _RESET_PATH, None, timeout)
        response, body = await self._send("reset", request, timeout)
        if response.status_code not in (200, 404):
            raise failure("reset", response, body)
        if b"false" in body and response.status_code == 200:
            raise EngineError("PrefixCacheBusy", "the engine did not reset its prefix cache", retriable=True)

    async def order(self, address: Address, order: LoadOrder, timeout: float) -> str:
        """Let the sidecar fetch and load an artifact; return its `root`.

        Raises:
            AlreadyLoaded: the name is taken.
        """
        body: dict[str, object] = {"lora_name": order.name, "artifact_url": order.url}
        if order.credentials:
            body["credentials"] = order.credentials
        if order.config:
            body["additional_config"] = order.config
        answer = await self._post(address, "load", "/v1/lora_adapter/load", body, timeout)
        try:
            return _ORDER_RESPONSE.decode(answer).local_path
        except (msgspec.MsgspecError, RecursionError):
            raise EngineError(
                "InvalidAnswer", "the sidecar's answer is not valid", retriable=True, ambiguous=True
            ) from None

    async def inspect(self, address: Address, order: LoadOrder, timeout: float) -> InspectedArtifact:
        """Let the sidecar read the facts about an artifact, without its weights."""
        body: dict[str, object] = {"artifact_url": order.url}
        if order.credentials:
            body["credentials"] = order.credentials
        answer = await self._post(address, "inspect", "/v1/lora_adapter/inspect", body, timeout)
        try:
            return _INSPECTED.decode(answer)
        except (msgspec.MsgspecError, RecursionError):
            raise EngineError("InvalidAnswer", "the sidecar's facts are not valid", retriable=True) from None

    async def cancel(self, address: Address, name: str, timeout: float) -> None:
        """Let the sidecar unload `name` and delete its files; a name that is not loaded is success."""
        body: dict[str, object] = {"lora_name": name, "cleanup_local": True}
        await self._post(address, "unload", "/v1/lora_adapter/unload", body, timeout)

    def forget(self, host: str) -> None:
        """Drop what is cached for a deleted engine."""
        for address in [address for address in self._lists if address.host == host]:
            del self._lists[address]
            self._bodies.pop(address, None)

    async def _post(self, address: Address, verb: str, path: str, body: dict[str, object], timeout: float) -> bytes:
        request = self._request(address, "POST", path, msgspec.json.encode(body), timeout)
        response, answer = await self._send(verb, request, timeout)
        if response.status_code == 200 or (
            verb == "unload" and name_unknown(response.status_code, answer.decode(errors="replace"))
        ):
            return answer
        raise failure(verb, response, answer)

    async def _send(
        self, verb: str, request: httpx.Request, timeout: float, limit: int = _MAX_ANSWER
    ) -> tuple[httpx.Response, bytes]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        with self._tracer.engine_request(request) as span:
            try:
                async with asyncio.timeout(timeout):
                    response = await self._transport.handle_async_request(request)
                    body = await read_body(response, limit)
            except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, BodyError) as error:
                classified = classify(error, timeout)
                span.fail(classified.reason)
                self._observer(verb, classified.reason, loop.time() - started)
                raise classified from error
            span.set("http.response.status_code", response.status_code)
            if response.status_code >= 400:
                span.fail(str(response.status_code))
        self._observer(verb, str(response.status_code), loop.time() - started)
        return response, body

    @staticmethod
    def _request(address: Address, method: str, path: str, body: bytes | None, timeout: float) -> httpx.Request:
        headers = {"authorization": f"Bearer {address.key}"} if address.key else {}
        if body is not None:
            headers["content-type"] = "application/json"
        connect = min(timeout, _CONNECT_SECONDS)
        times = {"connect": connect, "read": timeout, "write": timeout, "pool": timeout}
        return httpx.Request(method, address.base + path, headers=headers, content=body, extensions={"timeout": times})


def _decode_models(body: bytes) -> Sequence[_Model]:
    try:
        models = _MODELS.decode(body).data
    except (msgspec.MsgspecError, RecursionError):
        raise EngineError("InvalidAnswer", "the engine's list of models is not valid", retriable=True) from None
    if len(models) > _MAX_MODELS:
        raise EngineError("InvalidAnswer", f"the engine lists more than {_MAX_MODELS} models", retriable=True)
    return models


def _adapter_list(models: Sequence[_Model]) -> AdapterList:
    """Split base models from adapters.

    A base model has `max_model_len` and no `parent` (vLLM's `ModelCard`); old versions gave adapters no parent either.
    """
    bases = [model for model in models if model.parent is None and model.max_model_len is not None]
    return AdapterList(
        adapters={model.id: model.root or "" for model in models if model not in bases},
        bases=frozenset(name for model in bases for name in (model.id, model.root) if name),
    )
