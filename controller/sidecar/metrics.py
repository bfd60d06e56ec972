"""`/metrics`: the engine's page, translated or raw, and the sidecar's own behind it.

The page streams through in whole lines: no more of it is held than one piece. If translating fails, the rest of the
page goes out raw, and nothing twice; if the engine has no page, the sidecar's own is all there is.
"""

from collections.abc import AsyncIterator, Callable

import httpx
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from structlog.typing import FilteringBoundLogger

from controller.sidecar.artifacts.cache import ArtifactCache
from controller.sidecar.engine import LocalEngine
from controller.sidecar.errors import SidecarError
from controller.sidecar.metrics_translation import rename_metrics
from controller.sidecar.settings import MetricsMode

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PIECE = 64 << 10


class MetricsEndpoint:
    """Makes the page."""

    def __init__(
        self,
        engine: LocalEngine,
        path: str,
        mode: MetricsMode,
        registry: CollectorRegistry,
        log: FilteringBoundLogger,
        translate: Callable[[bytes], bytes] = rename_metrics,
    ) -> None:
        self._engine = engine
        self._path = path
        self._translate = translate if mode is MetricsMode.RENAMED else None
        self._registry = registry
        self._log = log
        self._up = Gauge("lora_runtime_engine_up", "Whether the engine gave its metrics.", registry=registry)

    async def page(self) -> AsyncIterator[bytes]:
        """The whole page, piece by piece."""
        self._up.set(0)
        try:
            async with self._engine.metrics(self._path) as response:
                if response.is_success:
                    async for lines in self._lines(response):
                        yield lines
                    self._up.set(1)
        except (SidecarError, httpx.HTTPError) as error:
            self._log.warning("the engine's metrics are not to be had", error=type(error).__name__)
        yield generate_latest(self._registry)

    async def _lines(self, response: httpx.Response) -> AsyncIterator[bytes]:
        translate = self._translate
        async for lines in _whole_lines(response):
            if translate is not None:
                try:
                    yield translate(lines)
                    continue
                except Exception as error:
                    self._log.warning("metrics go out raw", error=type(error).__name__)
                    translate = None
            yield lines


async def _whole_lines(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body in pieces that end with a line's end."""
    rest = b""
    async for chunk in response.aiter_raw(_PIECE):
        lines, end, rest = (rest + chunk).rpartition(b"\n")
        yield lines + end
    if rest:
        yield rest + b"\n"


def export_cache_metrics(cache: ArtifactCache, registry: CollectorRegistry) -> None:
    """MetricsMode of what is kept."""
    shown: tuple[tuple[str, str, Callable[[], float]], ...] = (
        ("lora_runtime_cache_bytes", "Bytes of artifacts that are kept or coming.", lambda: cache.used),
        ("lora_runtime_cache_budget_bytes", "Bytes that they may have.", lambda: cache.budget),
        ("lora_runtime_cache_artifacts", "Artifacts that are kept.", lambda: len(cache.entries)),
        ("lora_runtime_cache_evictions", "Artifacts removed to make room, since the start.", lambda: cache.evictions),
    )
    for name, text, value in shown:
        Gauge(name, text, registry=registry).set_function(value)
