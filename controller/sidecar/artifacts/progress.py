"""Progress of downloads: log lines, `/v1/downloads` and metrics."""

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

_LOG_INTERVAL = 10.0  # seconds between log lines of one download
_MAX_FINISHED = 20
_BUCKETS = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)

disable_created_metrics()  # type: ignore[no-untyped-call]


class _Progress(Protocol):
    @property
    def arrived(self) -> int: ...


@dataclass(slots=True)
class Download:
    """One download, in progress or finished.

    Attributes:
        started: loop time.
        state: `fetching`, `done` or `failed`.
    """

    artifact: Artifact
    listing: FileList
    started: float
    state: str = "fetching"
    code: str = ""
    seconds: float = 0.0
    transfer: _Progress | None = None
    arrived: int = 0

    def watch(self, transfer: _Progress) -> None:
        """Take the progress from `transfer`."""
        self.transfer = transfer

    @property
    def bytes(self) -> int:
        """Bytes on the disk."""
        return self.transfer.arrived if self.transfer is not None else self.arrived

    def as_dict(self, now: float) -> dict[str, object]:
        """Return the entry of `/v1/downloads`."""
        return {
            "artifact": self.artifact.redacted,
            "state": self.state,
            "code": self.code,
            "files": len(self.listing.files),
            "bytes": self.bytes,
            "size": self.listing.size,
            "seconds": round(now - self.started if self.transfer is not None else self.seconds, 3),
        }


class DownloadTracker:
    """Downloads of one sidecar."""

    def __init__(self, registry: CollectorRegistry, log: FilteringBoundLogger) -> None:
        self._log = log
        self._running: list[Download] = []
        self._finished: deque[Download] = deque(maxlen=_MAX_FINISHED)
        self._seconds = Histogram(
            "lora_runtime_fetch_seconds",
            "Time to fetch an artifact that was not in the cache.",
            ["store"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._bytes = Counter("lora_runtime_fetch_bytes", "Bytes of artifacts fetched.", ["store"], registry=registry)
        self._failures = Counter(
            "lora_runtime_fetch_failures", "Fetches that failed, by code.", ["store", "code"], registry=registry
        )
        running = Gauge("lora_runtime_fetches", "Downloads in progress.", registry=registry)
        running.set_function(lambda: len(self._running))
        expected = Gauge("lora_runtime_fetching_bytes", "Size of the downloads in progress.", registry=registry)
        expected.set_function(lambda: sum(download.listing.size for download in self._running))
        arrived = Gauge(
            "lora_runtime_fetching_arrived_bytes", "Bytes fetched of the downloads in progress.", registry=registry
        )
        arrived.set_function(lambda: sum(download.bytes for download in self._running))
        self._hits = Counter("lora_runtime_cache_hits", "Artifacts found in the cache.", registry=registry)

    def record_cache_hit(self) -> None:
        """Count an artifact that was found in the cache."""
        self._hits.inc()

    def as_dict(self) -> list[dict[str, object]]:
        """Return the downloads in progress, then the finished ones, latest first."""
        now = asyncio.get_running_loop().time()
        return [download.as_dict(now) for download in (*self._running, *reversed(self._finished))]

    @contextmanager
    def track(self, artifact: Artifact, listing: FileList) -> Iterator[Download]:
        """Record a download for as long as the context lasts."""
        loop = asyncio.get_running_loop()
        download = Download(artifact, listing, started=loop.time())
        log = self._log.bind(artifact=artifact.redacted)
        log.info("fetching", files=len(listing.files), size=listing.size)
        timer = loop.call_later(_LOG_INTERVAL, self._log_progress, download)
        self._running.append(download)
        try:
            yield download
        except BaseException as error:
            code = error.code if isinstance(error, SidecarError) else None
            self._end(download, "failed", code)
            log.warning("fetch failed", code=download.code, error=str(error) if code is not None else "")
            raise
        else:
            self._end(download, "done", None)
            log.info("fetched", seconds=round(download.seconds, 3), size=download.arrived)
        finally:
            timer.cancel()

    def _end(self, download: Download, state: str, code: Code | None) -> None:
        store = download.artifact.store
        download.state = state
        download.seconds = asyncio.get_running_loop().time() - download.started
        download.arrived = download.bytes
        download.transfer = None
        self._running.remove(download)
        self._finished.append(download)
        self._bytes.labels(store).inc(download.arrived)
        if state == "done":
            self._seconds.labels(store).observe(download.seconds)
        else:
            download.code = code.word if code is not None else "cancelled"
            self._failures.labels(store, download.code).inc()

    def _log_progress(self, download: Download) -> None:
        if download.transfer is None:
            return
        arrived, size = download.transfer.arrived, download.listing.size
        percent = round(100 * arrived / size) if size else 0
        self._log.info("fetching", artifact=download.artifact.redacted, percent=percent, arrived=arrived, size=size)
        asyncio.get_running_loop().call_later(_LOG_INTERVAL, self._log_progress, download)
