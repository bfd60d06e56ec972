"""Seam 2 in the twin: an `httpx` transport that takes a request to the engine that owns the address.

There are no sockets. What a caller sees of the network is what `httpx` would show: connection refused where nothing
listens, a connect timeout where nothing answers, a reset or an early close where an engine dies. A caller that gives
up does not stop the engine: what it was asked goes on.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import simpy

from fake_vllm.engine import EngineClosed
from fake_vllm.faults import Verdict
from fake_vllm.latency import Latency
from fake_vllm.wire import LOAD_PATH, MODELS_PATH, UNLOAD_PATH, Request, Response, respond, respond_now
from twin.record import RequestLine
from twin.recorder import Recorder
from twin.streams import Streams
from twin.world.engines import EngineHost

Hosts = Callable[[str], EngineHost | None]
"""Finds an engine's host by IP address."""

_VERBS = {LOAD_PATH: "load", UNLOAD_PATH: "unload", MODELS_PATH: "list"}


class Network:
    """Who can be reached where."""

    def __init__(
        self, env: simpy.Environment, hosts: Hosts, streams: Streams, recorder: Recorder, latency: Latency
    ) -> None:
        self.env = env
        self.hosts = hosts
        self.recorder = recorder
        self.latency = latency
        self.rng = streams.get("network/latency")
        self._requests = 0
        self._work: set[asyncio.Task[Response]] = set()

    def transport(self, by: str, caller: str = "controller") -> "NetworkTransport":
        """The network as `by` sees it; `caller` is who it is to faults (`controller`, `traffic`)."""
        return NetworkTransport(self, by, caller)

    def number(self) -> int:
        """A new request's number."""
        self._requests += 1
        return self._requests

    async def work(self, coroutine: Coroutine[Any, Any, Response]) -> Response:
        """Waits for an engine's work, which goes on if the caller stops waiting."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._work.add(task)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    def _done(self, task: asyncio.Task[Response]) -> None:
        self._work.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be left to hear of it


class NetworkTransport(httpx.AsyncBaseTransport):
    """For one caller."""

    def __init__(self, network: Network, by: str, caller: str) -> None:
        self._network = network
        self._by = by
        self._caller = caller
        self._severed = False

    def sever(self) -> None:
        """The caller is dead: it hears no more answers."""
        self._severed = True

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._severed:
            await asyncio.get_running_loop().create_future()
        network, url = self._network, request.url
        host = network.hosts(url.host)
        path = url.path
        verb = _VERBS.get(path)
        if verb in ("load", "unload"):
            return await self._recorded(request, host, path, verb)
        if verb is not None:
            network.recorder.count(f"engine.{verb}")
        return await self._answered(request, host, path, "")

    async def _recorded(self, request: httpx.Request, host: EngineHost | None, path: str, verb: Any) -> httpx.Response:
        """A load or unload, with a line when it is sent and one when it has ended for the caller."""
        network = self._network
        network.recorder.count(f"engine.{verb}")
        body = json.loads(request.content)
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
            root=str(body.get("lora_path", "")),
        )
        network.recorder.emit(line)
        status, error = 0, ""
        try:
            response = await self._answered(request, host, path, adapter)
            status = response.status_code
            error = "" if status == 200 else response.text[:200]
            return response
        except httpx.HTTPError as failed:
            error = f"{type(failed).__name__}: {failed}"
            raise
        except asyncio.CancelledError:
            error = "abandoned"
            raise
        finally:
            if not self._severed:
                network.recorder.emit(_done(line, network.recorder.now(), status, error))

    async def _answered(
        self, request: httpx.Request, host: EngineHost | None, path: str, adapter: str
    ) -> httpx.Response:
        network = self._network
        timeouts = request.extensions.get("timeout", {})
        latency = network.latency.draw(network.rng)
        no_way = httpx.ConnectTimeout("timed out", request=request)
        if host is None or not host.reachable:
            await self._wait(timeouts.get("connect"), no_way)
        assert host is not None
        await self._passable(host, timeouts.get("connect"), no_way)
        await self._pass(latency + host.way.extra(self._caller))
        engine = host.engine
        verdict = host.faults.verdict(self._caller, path, adapter, host.rng.random)
        if engine is None or not host.listening or (verdict is not None and verdict.kind == "refuse"):
            raise httpx.ConnectError("[Errno 111] Connection refused", request=request)
        sent = Request(request.method, path, _headers(request), request.content)
        if verdict is None:
            response = respond_now(engine, sent)
            if response is not None:
                return _response(response, request)
        read = httpx.ReadTimeout("timed out", request=request)
        if verdict is not None and verdict.kind == "hang":
            await self._wait(timeouts.get("read"), read)
        try:
            async with asyncio.timeout(timeouts.get("read")):
                response = await self._worked(host, sent, verdict)
                await host.way.passable(self._caller)
                return _response(response, request)
        except EngineClosed:
            closed = "Server disconnected without sending a response."
            raise httpx.RemoteProtocolError(closed, request=request) from None
        except TimeoutError:
            raise read from None
        except ConnectionResetError:
            raise httpx.ReadError("[Errno 104] Connection reset by peer", request=request) from None

    async def _worked(self, host: EngineHost, sent: Request, verdict: Verdict | None) -> Response:
        """The engine's answer, as far as faults let it come through."""
        assert host.engine is not None
        if verdict is not None and verdict.kind == "respond" and verdict.response is not None:
            return verdict.response
        if verdict is not None and verdict.kind == "reset" and not verdict.after:
            raise ConnectionResetError
        factor = verdict.factor if verdict is not None and verdict.kind == "slow" else 1.0
        response = await self._network.work(respond(host.engine, sent, slow=factor))
        if verdict is not None and verdict.kind == "reset":
            raise ConnectionResetError
        return response

    async def _passable(self, host: EngineHost, patience: float | None, failure: httpx.HTTPError) -> None:
        """Waits while the way is cut, and no longer than the caller's patience."""
        if host.way.open(self._caller):
            return
        try:
            async with asyncio.timeout(patience):
                await host.way.passable(self._caller)
        except TimeoutError:
            raise failure from None

    async def _wait(self, seconds: float | None, failure: httpx.HTTPError) -> None:
        """Nobody answers: waits until the caller's patience ends."""
        if seconds is None or self._severed:
            await asyncio.get_running_loop().create_future()
        else:
            await asyncio.sleep(seconds)
        raise failure

    async def _pass(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self._severed:
            await asyncio.get_running_loop().create_future()


def _done(sent: RequestLine, t: float, status: int, error: str) -> RequestLine:
    return RequestLine(
        t=t,
        object=sent.object,
        id=sent.id,
        event="done",
        by=sent.by,
        verb=sent.verb,
        adapter=sent.adapter,
        engine=sent.engine,
        root=sent.root,
        status=status,
        error=error,
    )


def _headers(request: httpx.Request) -> dict[str, str]:
    return {name.decode().lower(): value.decode() for name, value in request.headers.raw}


def _response(response: Response, request: httpx.Request) -> httpx.Response:
    return httpx.Response(response.status, headers=dict(response.headers), content=response.body, request=request)
