"""`/metrics` where prometheus-client's own application answers: every path and method but `GET /metrics`.

vLLM mounts that application (vllm/entrypoints/serve/instrumentator/metrics.py), which writes OpenMetrics for clients
that accept it, compresses, and selects metrics by `name[]`.
"""

from collections.abc import Iterator, MutableMapping
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, make_asgi_app
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.responses import Response as HttpResponse

from fake_vllm.engine.engine import Engine


class MetricsMount(HttpResponse):
    """The page of the process, of HTTP requests and of the engine, in the form that the request asks for."""

    def __init__(self, engine: Engine, http_registry: CollectorRegistry | None) -> None:
        super().__init__()
        registry = CollectorRegistry(auto_describe=True)
        registry.register(_Metrics(engine, http_registry))
        self._app = make_asgi_app(registry)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:  # noqa: ARG002
        """Send the page; the request's body was read before."""
        await self._app(scope, _empty_body, send)


class _Metrics(Collector):
    def __init__(self, engine: Engine, http_registry: CollectorRegistry | None) -> None:
        self._engine = engine
        self._http_registry = http_registry

    def collect(self) -> Iterator[Metric]:
        yield from REGISTRY.collect()
        if self._http_registry is not None:
            yield from self._http_registry.collect()
        yield from self._engine.metrics()


async def _empty_body() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}
