"""The parts of a real sidecar, put together."""

import httpx
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from structlog.typing import FilteringBoundLogger

from controller.sidecar.adapters import Adapters
from controller.sidecar.app import create_app
from controller.sidecar.artifacts.cache import Cache
from controller.sidecar.artifacts.egress_guard import Guard, guarded_transport
from controller.sidecar.artifacts.progress import Downloads
from controller.sidecar.artifacts.provider import StoreLibrary
from controller.sidecar.artifacts.stores.factory import HUB, Stores
from controller.sidecar.engine import Engine
from controller.sidecar.metrics import Scrape, watch_cache
from controller.sidecar.settings import Settings


def assembled(settings: Settings, to_engine: httpx.AsyncBaseTransport, log: FilteringBoundLogger) -> Starlette:
    """The application of the sidecar that `settings` describe. Empties the cache's folder of what is not complete."""
    registry = CollectorRegistry()
    cache = Cache(settings.root, settings.budget, settings.reserve)
    cache.open()
    watch_cache(cache, registry)
    guard = Guard(settings.allowed)
    to_stores = guarded_transport(guard)
    stores = Stores(to_stores, guard, hub=settings.hub or HUB, google=settings.google, s3=settings.s3)
    downloads = Downloads(registry, log)
    library = StoreLibrary(
        stores,
        cache,
        downloads,
        log,
        largest=settings.largest,
        connections=settings.connections,
        first_wait=settings.first_wait,
        mount=settings.mount,
    )
    engine = Engine(settings.engine, settings.dialect, to_engine)
    scrape = Scrape(engine, settings.metrics_path, settings.metrics, registry, log)

    async def close() -> None:
        await to_stores.aclose()
        await to_engine.aclose()

    return create_app(Adapters(engine, library, log), engine, registry, log, downloads, scrape, close)
