"""What the sidecar is fetching and has fetched: for the log, for `/v1/downloads`, and as metrics."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from structlog.typing import FilteringBoundLogger

from controller.sidecar.artifacts.stores import FileList
from controller.sidecar.artifacts.url import Artifact
from controller.sidecar.errors import Code, SidecarError

_EVERY = 10.0  # seconds between two lines about one download
_REMEMBERED = 20
_BUCKETS = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)

disable_created_metrics()  # type: ignore[no-untyped-call]


class _Arriving(Protocol):
    @property
    def arrived(self) -> int: ...


@dataclass(slots=True)
class Download:
    """One artifact on its way, or how that ended."""

    artifact: Artifact
    listing: FileList
    started: float
    """Loop time."""
    state: str = "fetching"
    """Then `done`, or `failed`."""
    code: str = ""
    seconds: float = 0.0
    transfer: _Arriving | None = None
    arrived: int = 0

    def watch(self, transfer: _Arriving) -> None:
        self.transfer = transfer

    @property
    def bytes(self) -> int:
        """How many are here."""
        return self.transfer.arrived if self.transfer is not None else self.arrived

    def as_dict(self, now: float) -> dict[str, object]:
        return {
            "artifact": self.artifact.shown,
            "state": self.state,
            "code": self.code,
            "files": len(self.listing.files),
            "bytes": self.bytes,
            "size": self.listing.size,
            "seconds": round(now - self.started if self.transfer is not None else self.seconds, 3),
        }


class DownloadTracker:
    """All of one sidecar."""

    def __init__(self, registry: CollectorRegistry, log: FilteringBoundLogger) -> None:
        self._log = log
        self._under_way: list[Download] = []
        self._ended: deque[Download] = deque(maxlen=_REMEMBERED)
        self._seconds = Histogram(
            "lora_runtime_fetch_seconds",
            "Time to fetch an artifact that was not in the cache.",
            ["store"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._bytes = Counter(
            "lora_runtime_fetch_bytes", "Bytes of artifacts that arrived.", ["store"], registry=registry
        )
        self._failures = Counter(
            "lora_runtime_fetch_failures", "Fetches that failed, by code.", ["store", "code"], registry=registry
        )
        under_way = Gauge("lora_runtime_fetches", "Artifacts that are being fetched.", registry=registry)
        under_way.set_function(lambda: len(self._under_way))
        coming = Gauge("lora_runtime_fetching_bytes", "Their size.", registry=registry)
        coming.set_function(lambda: sum(download.listing.size for download in self._under_way))
        here = Gauge("lora_runtime_fetching_arrived_bytes", "What has arrived of them.", registry=registry)
        here.set_function(lambda: sum(download.bytes for download in self._under_way))
        self._hits = Counter("lora_runtime_cache_hits", "Artifacts that were in the cache.", registry=registry)

    def record_cache_hit(self) -> None:
        self._hits.inc()

    def as_dict(self) -> list[dict[str, object]]:
        """For `/v1/downloads`: those under way, then those that ended, latest first."""
        now = asyncio.get_running_loop().time()
        return [download.as_dict(now) for download in (*self._under_way, *reversed(self._ended))]

    @contextmanager
    def track(self, artifact: Artifact, listing: FileList) -> Iterator[Download]:
        loop = asyncio.get_running_loop()
        download = Download(artifact, listing, started=loop.time())
        log = self._log.bind(artifact=artifact.shown)
        log.info("fetching", files=len(listing.files), size=listing.size)
        ticking = loop.call_later(_EVERY, self._tick, download)
        self._under_way.append(download)
        try:
            yield download
        except BaseException as error:
            code = error.code if isinstance(error, SidecarError) else None
            self._end(download, "failed", code)
            log.warning("not fetched", code=download.code, error=str(error) if code is not None else "")
            raise
        else:
            self._end(download, "done", None)
            log.info("fetched", seconds=round(download.seconds, 3), size=download.arrived)
        finally:
            ticking.cancel()

    def _end(self, download: Download, state: str, code: Code | None) -> None:
        store = download.artifact.store
        download.state = state
        download.seconds = asyncio.get_running_loop().time() - download.started
        download.arrived = download.bytes
        download.transfer = None
        self._under_way.remove(download)
        self._ended.append(download)
        self._bytes.labels(store).inc(download.arrived)
        if state == "done":
            self._seconds.labels(store).observe(download.seconds)
        else:
            download.code = code.word if code is not None else "cancelled"
            self._failures.labels(store, download.code).inc()

    def _tick(self, download: Download) -> None:
        if download.transfer is None:
            return
        arrived, size = download.transfer.arrived, download.listing.size
        percent = round(100 * arrived / size) if size else 0
        self._log.info("fetching", artifact=download.artifact.shown, percent=percent, arrived=arrived, size=size)
        asyncio.get_running_loop().call_later(_EVERY, self._tick, download)
