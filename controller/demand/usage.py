"""Since when an adapter on demand has had no request, from engines' metrics. In memory only: a restart measures again.

vLLM's gauge `vllm:lora_requests_info` has one series for each combination of adapters with requests, and keeps it: its
value is the time of the last step with that combination (vLLM 0.16 to 0.32, `v1/metrics/loggers.py`). A change of the
newest time that names an adapter therefore shows a request between two pages, however short. The times are compared
with each other and never with a clock here.

A page says nothing unless it is shown to be new: the CPU time of the server's process has grown
(`process_cpu_seconds_total`), and no total has fallen. Where pages are missing, old or impossible, nothing is idle.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from controller.cache.cache import Cache
from controller.cache.pod_view import PodView
from controller.clock import Clock
from controller.demand.estimate import MOST_REQUESTS
from controller.engine.metrics import MetricsSample


@dataclass(frozen=True, slots=True)
class Usage:
    """Use of one adapter, as all engines that serve it show it. Times in seconds since 1970."""

    unused_since: float
    """Time of the page that shows its last request, or of the first page."""
    measured_at: float


@dataclass(slots=True)
class _Engine:
    """The last page of one process of an engine."""

    incarnation: str
    page: MetricsSample
    used: dict[str, float] = field(default_factory=dict)
    """Time of the page that shows the last request, by adapter name."""


def is_new(before: MetricsSample, page: MetricsSample) -> bool:
    """Return whether a page was made after another one of the same process, and can be right."""
    if not is_plausible(page) or not is_plausible(before):
        return False
    return _number(page.cpu_seconds) > _number(before.cpu_seconds) and _number(page.tokens) >= _number(before.tokens)


def is_plausible(page: MetricsSample) -> bool:
    """Return whether a page has all that is needed, and no impossible value."""
    if page.requests is None or page.tokens is None or page.cpu_seconds is None:
        return False
    return 0 <= page.requests <= MOST_REQUESTS and page.tokens >= 0


def was_used(name: str, before: MetricsSample, page: MetricsSample) -> bool:
    """Return whether an adapter has had a request since the page `before`.

    Where an engine names no adapters, any request counts for all of them.
    """
    if not page.adapter_times:
        return bool(page.requests) or page.tokens != before.tokens
    return page.adapter_times.get(name) != before.adapter_times.get(name)


class UsageTracker:
    """Use of the adapters on demand since this replica began to lead. `wake` queues an adapter that has become idle."""

    def __init__(self, cache: Cache, clock: Clock, wake: Callable[[str], None]) -> None:
        self._cache = cache
        self._clock = clock
        self._wake = wake
        self._engines: dict[str, _Engine] = {}
        self._usage: dict[str, Usage] = {}

    def of(self, key: str) -> Usage | None:
        """Return the use of an adapter (`namespace/name`); None if the last metrics do not show it."""
        return self._usage.get(key)

    def forget_pod(self, pod: PodView) -> None:
        """Drop the page of a deleted pod."""
        self._engines.pop(pod.key, None)

    def observe(self, pages: Mapping[str, tuple[PodView, MetricsSample]]) -> None:
        """Add a round of metrics, and wake the adapters that are idle."""
        self._usage = {}
        if not self._cache.on_demand:
            self._engines.clear()
            return
        now = self._clock.now().timestamp()
        fresh = {key for key, (pod, page) in pages.items() if self._add(pod, page, now)}
        for key in sorted(self._cache.on_demand):
            adapter = self._cache.adapters.get(key)
            if adapter is None:
                continue
            pods = [f"{adapter.metadata.namespace}/{pod}" for pod in adapter.status.instances]
            if not pods or not fresh.issuperset(pods):
                continue
            since = max(self._engines[pod].used.setdefault(adapter.metadata.name, now) for pod in pods)
            self._usage[key] = Usage(since, now)
            if now - since >= adapter.spec.activation.idle_seconds:
                self._wake(key)

    def _add(self, pod: PodView, page: MetricsSample, now: float) -> bool:
        """Take over a page; return whether it shows the use of adapters up to now."""
        engine = self._engines.get(pod.key)
        restarted = engine is not None and engine.page.started_at != page.started_at and page.started_at is not None
        if engine is None or engine.incarnation != pod.engine or restarted:
            if is_plausible(page):
                self._engines[pod.key] = _Engine(pod.engine, page)
            return False
        if not is_new(engine.page, page):
            return False
        engine.used = {
            name: now if was_used(name, engine.page, page) else at
            for name, at in engine.used.items()
            if f"{pod.namespace}/{name}" in self._cache.on_demand
        }
        engine.page = page
        return True


def _number(value: float | None) -> float:
    return 0.0 if value is None else value
