"""Series of single adapters."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
from prometheus_client import generate_latest

from controller.adapter_metrics import MOST_ADAPTERS, AdapterMetrics
from controller.api.types import Autoscaling, AutoscalingTarget, ModelAdapter
from controller.cache.cache import Cache
from controller.demand.scaling import Demand, DemandSample
from controller.metrics.instruments import Metrics
from controller.runtime.workqueue import WorkQueue
from tests.controller.builders import NOW, an_adapter
from tests.controller.fake_client import QUIET, FakeClient, FakeServer


class FixedClock:
    def now(self) -> datetime:
        return datetime.fromtimestamp(NOW, UTC)


class FixedDemand:
    """Demand by adapter, in the place of a tracker."""

    def __init__(self, requests: dict[str, float]) -> None:
        self._requests = requests

    def of(self, key: str) -> Demand:
        known = self._requests.get(key)
        return Demand(() if known is None else (DemandSample(NOW, known),), 15.0)


def an_adapter_named(name: str, *, desired: int = 2, ready: int = 2, scaled: bool = False) -> ModelAdapter:
    adapter = an_adapter(replicas=desired, phase="Running")
    replace = msgspec.structs.replace
    scaling = Autoscaling(max=4, target=AutoscalingTarget(concurrency=4)) if scaled else None
    return replace(
        adapter,
        metadata=replace(adapter.metadata, name=name, uid=f"uid-{name}"),
        spec=replace(adapter.spec, autoscaling=scaling),
        status=replace(adapter.status, ready_replicas=ready),
    )


def page(adapters: list[ModelAdapter], requests: dict[str, float]) -> str:
    cache, metrics = Cache(FakeClient(FakeServer()), QUIET, lambda _: None, lambda *_: None), Metrics()
    demand: Any = FixedDemand({f"default/{name}": value for name, value in requests.items()})
    measured = AdapterMetrics(cache, demand, FixedClock(), metrics)
    for adapter in adapters:
        cache.adapters.apply_local(adapter)

    async def scrape() -> str:
        metrics.bind(WorkQueue(metrics.queue), 1, measured.counts)
        return generate_latest(metrics.registry).decode()

    return asyncio.run(scrape())


def test_each_adapter_has_its_replicas_and_the_requests_if_they_are_measured() -> None:
    text = page([an_adapter_named("sql", ready=1), an_adapter_named("chat", scaled=True)], {"chat": 7.5, "sql": 3.0})
    for name, ready in (("sql", 1), ("chat", 2)):
        labels = f'{{adapter="{name}",namespace="default"}}'
        assert f"lora_controller_adapter_replicas_desired{labels} 2.0" in text
        assert f"lora_controller_adapter_replicas_ready{labels} {ready}.0" in text
    assert 'lora_controller_adapter_requests_in_flight{adapter="chat",namespace="default"} 7.5' in text
    assert 'requests_in_flight{adapter="sql"' not in text, "it has no autoscaling"
    assert "lora_controller_adapters_without_series 0.0" in text


def test_their_number_is_bounded_and_those_that_lack_replicas_or_are_busy_are_never_left_out() -> None:
    adapters = [an_adapter_named(f"a-{number:04}") for number in range(MOST_ADAPTERS + 50)]
    adapters += [an_adapter_named("z-busy", scaled=True), an_adapter_named("z-lacking", ready=0)]
    text = page(adapters, {"z-busy": 9.0})
    assert text.count("lora_controller_adapter_replicas_ready{") == MOST_ADAPTERS
    assert 'adapter_replicas_ready{adapter="z-lacking",namespace="default"} 0.0' in text
    assert 'adapter_requests_in_flight{adapter="z-busy",namespace="default"} 9.0' in text
    assert "lora_controller_adapters_without_series 52.0" in text
