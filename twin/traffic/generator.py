"""The requests of a run: when they come, where they go, what becomes of each."""

import asyncio
from collections.abc import Generator, Mapping
from typing import Any

import httpx
import simpy

from fake_vllm.engine.engine import EngineError
from twin.apiserver import Store
from twin.kernel.random_streams import Streams
from twin.scenario.sections.traffic import GeneratedRequest
from twin.scenario.sections.traffic import Traffic as Settings
from twin.trace.recorder import Recorder
from twin.traffic.gateway import Gateway
from twin.traffic.popularity import AdapterPopularity
from twin.traffic.stats import RequestResult, TrafficStats
from twin.world.network.engine_host import EngineHost
from twin.world.network.transport import Network

MINUTE = 60.0


class Traffic:
    """All users of one run. `weights` are the adapters' popularity, by `namespace/name`; 1 for the others."""

    def __init__(
        self,
        env: simpy.Environment,
        store: Store,
        network: Network,
        streams: Streams,
        recorder: Recorder,
        settings: Settings,
        weights: Mapping[str, float],
    ) -> None:
        self._env = env
        self._network = network
        self._transport = network.transport("gateway", "traffic")
        self._streams = streams
        self._recorder = recorder
        self._settings = settings
        self._gateway = Gateway(env, store, settings.endpoints_lag, settings.balance, streams.get("gateway/balance"))
        self._users = AdapterPopularity(store, weights)
        self._tally = TrafficStats(recorder)
        self._tasks: dict[asyncio.Task[None], None] = {}

    def start(self, duration: float) -> None:
        """Requests come from now on, for so many seconds at most."""
        self._env.process(self._arrivals(duration))
        self._env.process(self._minutes())

    def finish(self) -> None:
        """The run ends: what is still under way is nobody's any more, and the last minute is told."""
        for task in self._tasks:
            task.cancel()
        self._tally.tell()

    def _arrivals(self, duration: float) -> Generator[simpy.Event, Any, None]:
        arrivals, lengths = self._streams.get("traffic/arrivals"), self._streams.get("traffic/requests")
        for asked in self._settings.asked(duration, arrivals, lengths):
            yield self._env.timeout(max(asked.at - self._env.now, 0.0))
            adapter = self._users.named(asked.adapter) if asked.adapter else self._users.choose(asked.popularity_draw)
            if adapter:
                task = asyncio.get_running_loop().create_task(self._request(adapter, asked), name=f"request {adapter}")
                self._tasks[task] = None
                task.add_done_callback(self._tasks.pop)

    def _minutes(self) -> Generator[simpy.Event, Any, None]:
        while True:
            yield self._env.timeout(MINUTE)
            self._tally.tell()

    async def _request(self, adapter: str, asked: GeneratedRequest) -> None:
        """One request, from the user's side."""
        began, name = self._env.now, adapter.split("/")[1]
        ip = self._gateway.pick(adapter)
        if ip is None:
            self._tally.add(adapter, RequestResult(cause="no endpoint"))
            return
        host = self._network.hosts(ip)
        loaded = _loaded(host, name)
        cold = loaded and host is not None and host.engine is not None and not host.engine.is_resident(name)
        cause, queued, first, spent = "", 0.0, 0.0, 0.0
        with self._gateway.busy(ip):
            try:
                done = await self._transport.complete(
                    ip, name, asked.prompt, asked.output, timeout=self._settings.timeout
                )
                spent = self._env.now - began
                queued, first = done.queued, done.first_token + spent - done.seconds
            except EngineError as refused:
                cause = str(refused.status)
            except httpx.HTTPError as failed:
                cause = type(failed).__name__
        answer = RequestResult(cause, misrouted=not loaded, cold=cold, queued=queued, first_token=first, seconds=spent)
        self._tally.add(adapter, answer)


def _loaded(host: EngineHost | None, name: str) -> bool:
    """Whether an adapter is loaded where an address leads to."""
    return host is not None and host.engine is not None and name in host.engine.adapters
