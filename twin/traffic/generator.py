"""Generates the requests of a run, sends them, and counts the results."""

import asyncio
from collections.abc import Generator, Iterator, Mapping
from heapq import merge
from typing import Any

import httpx
import simpy

from controller.activator.activator import HoldError
from fake_vllm.engine.engine import EngineError
from twin.scenario.sections.traffic import GeneratedRequest
from twin.scenario.sections.traffic import Traffic as Settings
from twin.trace.recorder import Recorder
from twin.traffic.gateway import Address, Gateway
from twin.traffic.on_demand import OnDemandRecord
from twin.traffic.popularity import AdapterPopularity
from twin.traffic.stats import RequestResult, TrafficStats
from twin.traffic.weights import WeightsRecord
from twin.world.context import WorldContext
from twin.world.network.activator_port import ActivatorPort
from twin.world.network.engine_host import EngineHost
from twin.world.network.transport import Network

MINUTE = 60.0


class Traffic:
    """All users of one run."""

    def __init__(
        self,
        context: WorldContext,
        network: Network,
        recorder: Recorder,
        settings: Settings,
        weights: Mapping[str, float],
    ) -> None:
        """Prepare the traffic; `weights` is the adapters' popularity by `namespace/name`, 1 for all others."""
        self._env = context.env
        self._network = network
        self._transport = network.transport("gateway", "traffic")
        self._streams = streams = context.streams
        self._settings = settings
        rng = streams.get("gateway/balance")
        self._gateway = Gateway(self._env, context.store, settings.endpoints_lag, settings.balance, rng)
        self._on_demand = OnDemandRecord(context.store, recorder)
        self._popularity = AdapterPopularity(context.store, weights)
        self._stats = TrafficStats(recorder, settings.ttft_slo)
        self._weights = WeightsRecord(recorder)
        self._tasks: dict[asyncio.Task[None], None] = {}

    def start(self, duration: float) -> None:
        """Generate requests from now on, for at most `duration` seconds."""
        self._env.process(self._arrivals(duration))
        self._env.process(self._minutes())

    def finish(self) -> None:
        """Cancel the requests in progress at the end of the run, and record the last minute."""
        for task in self._tasks:
            task.cancel()
        self._stats.flush()

    def _arrivals(self, duration: float) -> Generator[simpy.Event, Any, None]:
        for request in self._requests(duration):
            yield self._env.timeout(max(request.at - self._env.now, 0.0))
            if request.adapter:
                adapter = self._popularity.named(request.adapter)
            else:
                adapter = self._popularity.choose(request.popularity_draw)
            if adapter:
                task = asyncio.get_running_loop().create_task(
                    self._request(adapter, request), name=f"request {adapter}"
                )
                self._tasks[task] = None
                task.add_done_callback(self._tasks.pop)

    def _requests(self, duration: float) -> Iterator[GeneratedRequest]:
        """Return all requests in order; each flash crowd has its own random stream."""
        settings, get = self._settings, self._streams.get
        requests = settings.generate(duration, get("traffic/arrivals"), get("traffic/requests"))
        crowds = (
            settings.generate_crowd(crowd, duration, get(f"traffic/crowd/{number}"))
            for number, crowd in enumerate(settings.crowds)
        )
        return merge(requests, *crowds, key=lambda request: request.at)

    def _minutes(self) -> Generator[simpy.Event, Any, None]:
        while True:
            yield self._env.timeout(MINUTE)
            self._stats.flush()

    async def _request(self, adapter: str, request: GeneratedRequest) -> None:
        """Send one request as a user."""
        started_at = self._env.now
        address = self._gateway.pick(adapter)
        if address is None:
            self._stats.add(adapter, RequestResult(cause="no endpoint"))
            return
        activator = self._network.activators.get(address)
        if activator is None:
            result = await self._send(adapter, request, address, started_at)
        else:
            result = await self._send_held(adapter, request, activator, started_at)
        self._stats.add(adapter, result)

    async def _send_held(
        self, adapter: str, request: GeneratedRequest, activator: ActivatorPort, started_at: float
    ) -> RequestResult:
        """Send a request to an activator, which passes it on to an engine when the adapter is loaded."""
        number, cause = self._on_demand.held(adapter), ""
        latency = self._network.latency.draw(self._network.traffic_rng)
        try:
            async with asyncio.timeout(self._settings.timeout):
                address = await activator.hold(adapter, latency)
        except HoldError as error:
            cause = str(error.status)
        except TimeoutError:
            cause = "ReadTimeout"
        except httpx.HTTPError as error:
            cause = type(error).__name__
        self._on_demand.released(adapter, number, self._env.now - started_at, cause)
        if cause:
            return RequestResult(cause)
        result = await self._send(adapter, request, address, started_at)
        if not result.cause:
            self._on_demand.answered(adapter, number, result.first_token)
        return result

    async def _send(
        self, adapter: str, request: GeneratedRequest, address: Address, started_at: float
    ) -> RequestResult:
        """Send a request to an engine; times count from `started_at`."""
        name, sent = adapter.split("/")[1], self._env.now
        host = self._network.hosts(address[0])
        loaded = _is_loaded(host, name)
        cold = loaded and host is not None and host.engine is not None and not host.engine.is_resident(name)
        cause, queued, first, seconds = "", 0.0, 0.0, 0.0
        timeout = self._settings.timeout - (sent - started_at)
        with self._gateway.busy(address), self._on_demand.using(adapter):
            try:
                completion = await self._transport.complete(
                    address, name, request.prompt, request.output, timeout=timeout
                )
                seconds = self._env.now - started_at
                queued, first = completion.queued, completion.first_token + seconds - completion.seconds
                self._weights.see(adapter, host, sent, completion.weights, completion.prefix_weights)
            except EngineError as error:
                cause = str(error.status)
            except httpx.HTTPError as error:
                cause = type(error).__name__
        return RequestResult(cause, misrouted=not loaded, cold=cold, queued=queued, first_token=first, seconds=seconds)


def _is_loaded(host: EngineHost | None, name: str) -> bool:
    """Return True if an adapter is loaded at a host."""
    return host is not None and host.engine is not None and name in host.engine.adapters
