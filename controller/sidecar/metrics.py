"""`/metrics`: the engine's metrics, with names translated or not, followed by the sidecar's own.

The engine's page is streamed in whole lines. If the translation fails, the rest of the page is passed on unchanged. If
the engine does not respond, the page has only the sidecar's metrics.
"""

from collections.abc import AsyncIterator, Callable

import httpx
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from structlog.typing import FilteringBoundLogger

from controller.sidecar.artifacts.cache import ArtifactCache
from controller.sidecar.engine import LocalEngine
from controller.sidecar.errors import Code, SidecarError
from controller.sidecar.metrics_translation import MetricsTranslation
from controller.sidecar.settings import MetricsMode

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_CHUNK_BYTES = 64 << 10
_MAX_BYTES = 16 << 20
_MAX_LINE = 1 << 20


class MetricsEndpoint:
    """Combines the metrics of the engine and the sidecar."""

    def __init__(
        self,
        engine: LocalEngine,
        path: str,
        mode: MetricsMode,
        registry: CollectorRegistry,
        log: FilteringBoundLogger,
        translation: Callable[[], Callable[[bytes], bytes]] = MetricsTranslation,
    ) -> None:
        self._engine = engine
        self._path = path
        self._translation = translation if mode is MetricsMode.RENAMED else None
        self._registry = registry
        self._log = log
        self._up = Gauge("lora_runtime_engine_up", "1 if the engine's metrics are readable, else 0.", registry=registry)

    async def page(self) -> AsyncIterator[bytes]:
        """Yield the page in chunks."""
        self._up.set(0)
        try:
            async with self._engine.metrics(self._path) as response:
                if response.is_success:
                    async for lines in self._lines(response):
                        yield lines
                    self._up.set(1)
        except (SidecarError, httpx.HTTPError) as error:
            self._log.warning("cannot read the engine's metrics", error=type(error).__name__)
        yield generate_latest(self._registry)

    async def _lines(self, response: httpx.Response) -> AsyncIterator[bytes]:
        translate = self._translation() if self._translation is not None else None
        async for lines in _whole_lines(response):
            if translate is not None:
                try:
                    yield translate(lines)
                    continue
                except Exception as error:
                    self._log.warning("cannot translate metrics, passing them on unchanged", error=type(error).__name__)
                    translate = None
            yield lines


async def _whole_lines(response: httpx.Response) -> AsyncIterator[bytes]:
    """Yield the body in chunks of whole lines."""
    rest, size = b"", 0
    async for chunk in response.aiter_raw(_CHUNK_BYTES):
        size += len(chunk)
        if size > _MAX_BYTES or len(rest) > _MAX_LINE:
            raise SidecarError(Code.ENGINE_UNAVAILABLE, f"a page of metrics has at most {_MAX_BYTES} bytes")
        lines, end, rest = (rest + chunk).rpartition(b"\n")
        yield lines + end
    if rest:
        yield rest + b"\n"


def export_cache_metrics(cache: ArtifactCache, registry: CollectorRegistry) -> None:
    """MetricsMode of what is kept."""
    gauges: tuple[tuple[str, str, Callable[[], float]], ...] = (
        ("lora_runtime_cache_bytes", "Bytes of artifacts on the disk, with downloads in progress.", lambda: cache.used),
        ("lora_runtime_cache_budget_bytes", "Maximum bytes of artifacts.", lambda: cache.budget),
        ("lora_runtime_cache_artifacts", "Artifacts on the disk.", lambda: len(cache.entries)),
        ("lora_runtime_cache_evictions", "Artifacts evicted since the start.", lambda: cache.evictions),
    )
    for name, text, value in gauges:
        Gauge(name, text, registry=registry).set_function(value)
