"""How loaded engines are, for the policies that ask: each pod's `/metrics` read once an interval, by whoever leads.

Nothing is read while no adapter uses such a policy. Nobody ever waits for a reading: what is not known yet, or was
not told for a while, is unknown to the policy, which then goes by what else there is.
"""

import asyncio
from dataclasses import dataclass

from controller.cache.cache import Cache
from controller.cache.pod_view import PodView
from controller.engine.client import Address, EngineClient
from controller.engine.errors import EngineError
from controller.engine.metrics import MetricsSample, read
from controller.policies import EngineLoad, Policies
from controller.settings import Settings

_PATIENCE = 5.0
"""Seconds for one page."""
_KEPT_FOR = 3
"""Intervals; what is older is unknown."""
_NEWEST = 0.3
"""Weight of the newest reading in what an adapter is expected to have in flight."""


@dataclass(frozen=True, slots=True)
class _Known:
    """Of one engine's incarnation."""

    engine: str
    at: float
    """Loop time."""
    reading: MetricsSample
    load: EngineLoad


class LoadMonitor:
    """All readings of one term."""

    def __init__(self, client: EngineClient, caches: Cache, policies: Policies, settings: Settings) -> None:
        self._client = client
        self._caches = caches
        self._policies = policies
        self._interval = settings.scrape_interval
        self._known: dict[str, _Known] = {}
        self._demand: dict[str, float] = {}
        self._average = 0.0

    def of(self, pod: PodView) -> EngineLoad | None:
        """What the pod's present incarnation said last, unless that is too long ago."""
        known = self._known.get(pod.uid)
        if known is None or known.engine != pod.engine:
            return None
        age = asyncio.get_running_loop().time() - known.at
        return known.load if age <= _KEPT_FOR * self._interval else None

    def expected(self, pod: str, adapter: str) -> float:
        """Requests in flight at a time for the other adapters on a pod; one that was never seen counts as average."""
        here = self._caches.occupancy.on(pod)
        return sum(self._demand.get(key, self._average) for key in here if key != adapter)

    def forget_pod(self, pod: PodView) -> None:
        self._known.pop(pod.uid, None)

    async def run(self) -> None:
        """Reads for ever, once an interval, if there is a cause to."""
        while True:
            await self._round(self._asked())
            await asyncio.sleep(self._interval)

    def _asked(self) -> list[PodView]:
        """Pods that adapters with such a policy could be on."""
        spaces = sorted({space for space, name in self._caches.schedulers if self._policies.needs_metrics(name)})
        pods = (pod for space in spaces for pod in self._caches.views(space).values())
        return [pod for pod in pods if pod.enabled and pod.ready and not pod.terminating and pod.engine]

    async def _round(self, pods: list[PodView]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for pod in pods:
                tasks.create_task(self._scrape(pod), name=f"metrics of {pod.name}")
        self._learn(pods)

    async def _scrape(self, pod: PodView) -> None:
        try:
            reading = read(await self._client.metrics(Address(pod.ip, pod.port), min(_PATIENCE, self._interval)))
        except (EngineError, ValueError):
            return
        before = self._known.get(pod.uid)
        now = asyncio.get_running_loop().time()
        if before is not None and before.engine != pod.engine:
            before = None
        held = sum(1 for _ in self._caches.occupancy.on(f"{pod.namespace}/{pod.name}"))
        self._known[pod.uid] = _Known(pod.engine, now, reading, _load(before, now, reading, held))

    def _learn(self, pods: list[PodView]) -> None:
        """What each adapter has in flight on a pod: its share of what the pods that hold it have, on average."""
        now = asyncio.get_running_loop().time()
        shares: dict[str, list[float]] = {}
        for pod in pods:
            known = self._known.get(pod.uid)
            if known is None or known.reading.requests is None or now - known.at >= self._interval:
                continue
            named = known.reading.adapters
            each = known.reading.requests / len(named) if named else 0.0
            for key in self._caches.occupancy.on(f"{pod.namespace}/{pod.name}"):
                shares.setdefault(key, []).append(each if key.partition("/")[2] in named else 0.0)
        for key, seen in shares.items():
            share = sum(seen) / len(seen)
            before = self._demand.get(key, share)
            self._demand[key] = before + _NEWEST * (share - before)
        for key in [key for key in self._demand if self._caches.adapters.get(key) is None]:
            del self._demand[key]
        self._average = sum(self._demand.values()) / len(self._demand) if self._demand else 0.0


def _load(before: _Known | None, now: float, reading: MetricsSample, held: int) -> EngineLoad:
    """Figures for the time between two readings; between the engine's start and the first, as far as that goes."""
    then = before.reading if before is not None else MetricsSample()
    ended = _grown(then.ended, reading.ended)
    busy = _grown(then.busy_seconds, reading.busy_seconds)
    tokens = _grown(then.tokens, reading.tokens)
    rate = tokens / (now - before.at) if tokens is not None and before is not None and now > before.at else None
    return EngineLoad(latency=_latency(busy, ended, reading), throughput=rate, requests=reading.requests, adapters=held)


def _latency(busy: float | None, ended: float | None, reading: MetricsSample) -> float | None:
    """Of an idle engine 0; of one with requests none of which has ended, nobody knows."""
    if ended is None or busy is None:
        return None
    if ended > 0:
        return busy / ended
    return None if reading.requests else 0.0


def _grown(before: float | None, after: float | None) -> float | None:
    """By how much a total has grown; one that has fallen began anew."""
    if after is None:
        return None
    return after - before if before is not None and after >= before else after
