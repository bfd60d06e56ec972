"""Builds the sidecar from its settings (composition root)."""

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from controller.sidecar.adapters import AdapterService
from controller.sidecar.app import Services, create_app
from controller.sidecar.artifacts.cache import ArtifactCache
from controller.sidecar.artifacts.egress_guard import EgressGuard
from controller.sidecar.artifacts.guarded_transport import guarded_transport
from controller.sidecar.artifacts.progress import DownloadTracker
from controller.sidecar.artifacts.provider import StoreArtifactProvider
from controller.sidecar.artifacts.stores.factory import HUB, Stores
from controller.sidecar.engine import LocalEngine
from controller.sidecar.metrics import MetricsEndpoint, export_cache_metrics
from controller.sidecar.settings import Settings


def build_app(settings: Settings, to_engine: httpx.AsyncBaseTransport, log: FilteringBoundLogger) -> FastAPI:
    """Return the application; incomplete downloads in the cache's folder are deleted."""
    registry = CollectorRegistry()
    cache = ArtifactCache(settings.root, settings.budget, settings.reserve)
    cache.open()
    export_cache_metrics(cache, registry)
    guard = EgressGuard(settings.allowed)
    to_stores = guarded_transport(guard)
    stores = Stores(to_stores, guard, hub=settings.hub or HUB, google=settings.google, s3=settings.s3)
    downloads = DownloadTracker(registry, log)
    provider = StoreArtifactProvider(
        stores,
        cache,
        downloads,
        log,
        largest=settings.largest,
        connections=settings.connections,
        first_wait=settings.first_wait,
        mount=settings.mount,
    )
    engine = LocalEngine(settings.engine, settings.dialect, to_engine, api_key=settings.engine_key)
    metrics = MetricsEndpoint(engine, settings.metrics_path, settings.metrics, registry, log)

    async def close() -> None:
        await to_stores.aclose()
        await to_engine.aclose()

    return create_app(Services(AdapterService(engine, provider, log), engine, registry, downloads, metrics), log, close)
