"""Seam 2 in the twin: an `httpx` transport that takes a request to the engine or sidecar at the address.

There are no sockets. A client sees what `httpx` would show: connection refused where nothing listens, a connect timeout
where nothing answers, a reset or an early close where an engine dies. A client that gives up does not stop the engine:
its request continues.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import httpx
import msgspec
import simpy

from controller.cache.routing import SIDECAR_PORT
from controller.sidecar.protocol import INSPECT_PATH
from controller.sidecar.protocol import LOAD_PATH as ORDER_PATH
from controller.sidecar.protocol import UNLOAD_PATH as CANCEL_PATH
from fake_vllm.distributions import Latency
from fake_vllm.engine.engine import Completion, Engine, EngineError
from fake_vllm.faults.effects import FaultEffect
from fake_vllm.router import (
    COMPLETIONS_PATH,
    GENERATING,
    LOAD_PATH,
    MODELS_PATH,
    SGLANG_LOAD_PATH,
    SGLANG_UNLOAD_PATH,
    UNLOAD_PATH,
    Request,
    Response,
    Stream,
    handle,
    handle_immediate,
    requested_adapter,
)
from twin.kernel.random_streams import Streams
from twin.trace.lines import RequestLine
from twin.trace.recorder import Recorder
from twin.world.network.activator_port import ActivatorPort
from twin.world.network.engine_host import EngineHost
from twin.world.network.http_adapter import map_errors, to_client, to_engine

if TYPE_CHECKING:
    from twin.world.network.sidecar_host import SidecarHost

OnRequest = Callable[[Literal["before", "after"]], None]
"""Called when a request is about to be sent, and when it has ended but the client has not received the response."""
Hosts = Callable[[str], EngineHost | None]
"""Returns a pod's host by IP address."""

_HTTP_PORT = 80
_NO_REQUEST = httpx.Request("POST", "http://engine" + COMPLETIONS_PATH)  # for errors of `complete`
_VERBS = {
    LOAD_PATH: "load",
    UNLOAD_PATH: "unload",
    MODELS_PATH: "list",
    "/metrics": "metrics",
    ORDER_PATH: "load",
    INSPECT_PATH: "inspect",
    CANCEL_PATH: "unload",
    SGLANG_LOAD_PATH: "load",
    SGLANG_UNLOAD_PATH: "unload",
}


def _ignore(_: Literal["before", "after"]) -> None:
    """Do nothing for a request."""


class Network:
    """The simulated network of one cluster."""

    def __init__(
        self, env: simpy.Environment, hosts: Hosts, streams: Streams, recorder: Recorder, latency: Latency
    ) -> None:
        self.env = env
        self.hosts = hosts
        self.recorder = recorder
        self.latency = latency
        self.rng = streams.get("network/latency")
        self.traffic_rng = streams.get("network/traffic-latency")
        self._requests = 0
        self.changes: Counter[str] = Counter()
        """Loads and unloads that have succeeded, by the pod's address."""
        self.activators: dict[tuple[str, int], ActivatorPort] = {}
        """Activators of the operator's replicas, by address and port."""
        self._work: set[asyncio.Task[Response | Stream]] = set()

    def transport(self, by: str, caller: str = "controller", on_request: OnRequest = _ignore) -> "NetworkTransport":
        """Return a transport for one client.

        Args:
            by: the client's name in the record.
            caller: the client's kind for faults (`controller`, `traffic`).
            on_request: called for each request.
        """
        return NetworkTransport(self, by, caller, on_request)

    def number(self) -> int:
        """Return a new request's number."""
        self._requests += 1
        return self._requests

    async def work(self, coroutine: Coroutine[Any, Any, Response | Stream]) -> Response | Stream:
        """Wait for an engine's work, which continues if the client stops waiting."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._work.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Response | Stream]) -> None:
        self._work.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not log it


class NetworkTransport(httpx.AsyncBaseTransport):
    """The network as one client sees it."""

    def __init__(self, network: Network, by: str, caller: str, on_request: OnRequest = _ignore) -> None:
        self._network = network
        self._by = by
        self._caller = caller
        self._disconnected = False
        self._kept: dict[str, tuple[Request, httpx.Response]] = {}
        """By pod: audits repeat one request and get the same bytes, so its response is built once."""
        self._on_request = on_request
        self._rng = network.rng if caller == "controller" else network.traffic_rng

    def disconnect(self) -> None:
        """Cut the client off: it receives no more responses."""
        self._disconnected = True

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._on_request("before")
        if self._disconnected:
            await self._never()
        try:
            response = await self._send(request)
        except httpx.HTTPError:
            self._on_request("after")
            if self._disconnected:
                await self._never()
            raise
        self._on_request("after")
        if self._disconnected:
            await self._never()
        return response

    async def _never(self) -> None:
        """Wait forever, in place of a disconnected client."""
        await asyncio.get_running_loop().create_future()

    async def _send(self, request: httpx.Request) -> httpx.Response:
        network, url = self._network, request.url
        if (activator := network.activators.get((url.host, url.port or _HTTP_PORT))) is not None:
            return await activator.respond(self, request)
        host = network.hosts(url.host)
        path = url.path
        verb = _VERBS.get(path)
        if verb in ("load", "unload"):
            return await self._send_recorded(request, host, path, verb)
        if verb is not None:
            network.recorder.count(f"engine.{verb}")
        changes = network.changes[url.host]
        response = await self._exchange(request, host, path, "")
        if verb == "list" and changes != network.changes[url.host]:
            network.recorder.count("engine.lists_overtaken")
        return response

    async def _send_recorded(
        self, request: httpx.Request, host: EngineHost | None, path: str, verb: Any
    ) -> httpx.Response:
        """Send a load or unload; record a line when it is sent and one when it has ended for the client."""
        network = self._network
        network.recorder.count(f"engine.{verb}")
        body = _json_object(request.content)
        number, adapter = network.number(), str(body.get("lora_name", ""))
        line = RequestLine(
            t=network.recorder.now(),
            object=host.pod if host is not None else network.recorder.pod_at(request.url.host),
            id=number,
            event="sent",
            by=self._by,
            verb=verb,
            adapter=adapter,
            engine=host.container_id if host is not None else "",
            root=str(body.get("lora_path") or body.get("artifact_url", "")),
        )
        network.recorder.emit(line)
        status, error, wait = 0, "", ""
        try:
            response = await self._exchange(request, host, path, adapter)
            status, wait = response.status_code, response.headers.get("retry-after", "")
            network.changes[request.url.host] += status == 200
            error = "" if status == 200 else response.text[:200]
            return response
        except httpx.HTTPError as failed:
            error = f"{type(failed).__name__}: {failed}"
            raise
        except asyncio.CancelledError:
            error = "abandoned"
            raise
        finally:
            if not self._disconnected:
                network.recorder.emit(_done(line, network.recorder.now(), status, error, wait))

    async def complete(
        self,
        address: tuple[str, int],
        model: str,
        prompt_tokens: int,
        output_tokens: int,
        *,
        timeout: float | None = None,
    ) -> Completion:
        """Run a completion on the model at an IP address and port, like a client over HTTP but without HTTP.

        Lengths are in tokens; `timeout` is in seconds, for the connection and for the whole response.

        Raises:
            httpx.HTTPError: the error that the client would see for a failed connection.
            EngineFault: the error response of the engine, or of a fault in its place.
        """
        request = _NO_REQUEST
        ip, port = address
        host = await self._connect(request, self._network.hosts(ip), timeout)
        if port != host.port:
            raise _refused(request)
        engine, effect = self._engine_and_fault(request, host, COMPLETIONS_PATH, model)
        with map_errors(request):
            if effect is not None and effect.kind == "hang":
                await self._wait(timeout, httpx.ReadTimeout("timed out", request=request))
            if effect is not None and effect.response is not None:
                injected = effect.response
                raise EngineError(injected.status, "", injected.body[:200].decode(errors="replace"))
            if effect is not None and effect.kind == "reset" and not effect.after:
                raise ConnectionResetError
            async with asyncio.timeout(timeout):
                completion = await engine.complete(model, prompt_tokens, output_tokens)
                if effect is not None and effect.factor > 1:
                    await asyncio.sleep(completion.seconds * (effect.factor - 1))
                    completion = _slowed(completion, effect.factor)
                await host.link.wait_open(self._caller)
            if effect is not None and effect.kind == "reset":
                raise ConnectionResetError
            return completion

    async def _exchange(
        self, request: httpx.Request, host: EngineHost | None, path: str, adapter: str
    ) -> httpx.Response:
        timeouts = request.extensions.get("timeout", {})
        host = await self._connect(request, host, timeouts.get("connect"))
        port = request.url.port or _HTTP_PORT
        if port == SIDECAR_PORT and host.sidecar is not None:
            return await self._exchange_with_sidecar(host, host.sidecar, request, timeouts.get("read"))
        if port != host.port:
            raise _refused(request)
        cached = self._kept.get(host.pod)
        is_same = cached is not None and cached[1].request is request
        sent = cached[0] if cached is not None and is_same else to_engine(request, path)
        if not adapter and host.faults.rules:
            adapter = requested_adapter(sent)
        engine, effect = self._engine_and_fault(request, host, path, adapter)
        if effect is None and path not in GENERATING:
            response = handle_immediate(engine, sent)
            if response is not None:
                if cached is not None and is_same and cached[1].content is response.body:
                    return cached[1]
                built = to_client(response, request)
                self._kept[host.pod] = (sent, built)
                return built
        if effect is not None and effect.kind == "hang":
            await self._wait(timeouts.get("read"), httpx.ReadTimeout("timed out", request=request))
        with map_errors(request):
            async with asyncio.timeout(timeouts.get("read")):
                answer = await self._respond(engine, sent, effect)
                await host.link.wait_open(self._caller)
                return to_client(answer, request)

    async def _exchange_with_sidecar(
        self, host: EngineHost, sidecar: "SidecarHost", request: httpx.Request, timeout: float | None
    ) -> httpx.Response:
        """Return the sidecar's response, for which it may send requests to the engine."""
        with map_errors(request):
            async with asyncio.timeout(timeout):
                response = await sidecar.answer(request, lambda: SidecarTransport(self._network, host))
                await host.link.wait_open(self._caller)
                return response

    async def _connect(self, request: httpx.Request, host: EngineHost | None, timeout: float | None) -> EngineHost:
        """Return the host at the other end, once the request has arrived there."""
        latency = self._network.latency.draw(self._rng)
        if host is not None and host.reachable and host.link.is_clear:
            await self._transmit(latency)
            return host
        no_route = httpx.ConnectTimeout("timed out", request=request)
        if host is None or not host.reachable:
            await self._wait(timeout, no_route)
        assert host is not None
        await self._wait_link(host, timeout, no_route)
        await self._transmit(latency + host.link.added_latency(self._caller))
        return host

    def _engine_and_fault(
        self, request: httpx.Request, host: EngineHost, path: str, adapter: str
    ) -> tuple[Engine, FaultEffect | None]:
        """Return the engine that listens there, and the fault that applies to the request."""
        draw = host.traffic_rng.random if self._caller == "traffic" else host.rng.random
        effect = host.faults.effect(self._caller, path, adapter, draw)
        if host.engine is None or not host.listening or (effect is not None and effect.kind == "refuse"):
            raise _refused(request)
        return host.engine, effect

    async def _respond(self, engine: Engine, sent: Request, effect: FaultEffect | None) -> Response | Stream:
        """Return the engine's response, as far as faults let it through."""
        if effect is not None and effect.kind == "respond" and effect.response is not None:
            return effect.response
        if effect is not None and effect.kind == "reset" and not effect.after:
            raise ConnectionResetError
        factor = effect.factor if effect is not None and effect.kind in ("slow", "alter") else 1.0
        work = handle(engine, sent, slow=factor)
        # Loads and unloads continue without the client; a completion does not.
        response = await (work if sent.path in GENERATING else self._network.work(work))
        if effect is not None and effect.kind == "reset":
            raise ConnectionResetError
        return effect.altered(response) if effect is not None else response

    async def _wait_link(self, host: EngineHost, timeout: float | None, failure: httpx.HTTPError) -> None:
        """Wait while the link is partitioned, at most until the client's timeout."""
        if host.link.is_open(self._caller):
            return
        try:
            async with asyncio.timeout(timeout):
                await host.link.wait_open(self._caller)
        except TimeoutError:
            raise failure from None

    async def _wait(self, seconds: float | None, failure: httpx.HTTPError) -> None:
        """Wait until the client's timeout, as nothing answers."""
        if seconds is None or self._disconnected:
            await self._never()
        else:
            await asyncio.sleep(seconds)
        raise failure

    async def _transmit(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self._disconnected:
            await self._never()


def _refused(request: httpx.Request) -> httpx.ConnectError:
    return httpx.ConnectError("[Errno 111] Connection refused", request=request)


def _slowed(completion: Completion, factor: float) -> Completion:
    """Return a completion with all times multiplied by `factor`."""
    return replace(
        completion,
        queued=completion.queued * factor,
        first_token=completion.first_token * factor,
        seconds=completion.seconds * factor,
    )


class SidecarTransport(NetworkTransport):
    """Transport of a sidecar to the engine in its own pod, without link or latency.

    Faults of engines apply to it as to the controller, on whose behalf it sends requests.
    """

    def __init__(self, network: Network, host: EngineHost) -> None:
        super().__init__(network, by=host.pod, caller="controller")
        self._host = host

    async def _send(self, request: httpx.Request) -> httpx.Response:
        return await self._exchange(request, self._host, request.url.path, "")

    async def _connect(self, request: httpx.Request, host: EngineHost | None, timeout: float | None) -> EngineHost:  # noqa: ARG002
        return self._host


def _json_object(content: bytes) -> dict[str, Any]:
    """Return the object in a body; empty if it is not valid JSON, which the engine will report."""
    try:
        body = json.loads(content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _done(sent: RequestLine, t: float, status: int, error: str, retry_after: str) -> RequestLine:
    return msgspec.structs.replace(sent, t=t, event="done", status=status, error=error, retry_after=retry_after)
