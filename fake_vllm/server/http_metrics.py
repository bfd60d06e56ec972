"""Metrics of HTTP requests, as prometheus-fastapi-instrumentator adds them to vLLM's page.

See vllm/entrypoints/serve/instrumentator/metrics.py and the defaults of `metrics.default` in that library.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, Summary, generate_latest

EXCLUDED = ("/metrics", "/health", "/load", "/ping", "/version", "/server_info")
"""Paths that are not counted; of longer ones too."""
_UNKNOWN = "none"
"""Handler of a path without a route."""
_HIGH_RESOLUTION = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 7.5, 10, 30, 60),
)
_LOW_RESOLUTION = (0.1, 0.5, 1)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its response: sizes in bytes as their headers say, duration in seconds."""

    method: str
    handler: str
    status: int
    request_size: int
    response_size: int
    seconds: float


class HttpMetrics:
    """Counts the requests of one server."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "http_requests_total",
            "Total number of requests by method, status and handler.",
            ("method", "status", "handler"),
            registry=registry,
        )
        self._request_size = Summary(
            "http_request_size_bytes",
            "Content length of incoming requests by handler. Only value of header is respected. "
            "Otherwise ignored. No percentile calculated.",
            ("handler",),
            registry=registry,
        )
        self._response_size = Summary(
            "http_response_size_bytes",
            "Content length of outgoing responses by handler. Only value of header is respected. "
            "Otherwise ignored. No percentile calculated.",
            ("handler",),
            registry=registry,
        )
        self._all_durations = Histogram(
            "http_request_duration_highr_seconds",
            "Latency with many buckets but no API specific labels. Made for more accurate percentile calculations.",
            buckets=_HIGH_RESOLUTION,
            registry=registry,
        )
        self._durations = Histogram(
            "http_request_duration_seconds",
            "Latency with only few buckets by handler. Made to be only used if aggregation by handler is important.",
            ("method", "handler"),
            buckets=_LOW_RESOLUTION,
            registry=registry,
        )
        self._series: dict[tuple[str, int, str], tuple[Any, ...]] = {}

    def observe(self, exchange: Exchange) -> None:
        """Count a request, unless its path is excluded."""
        if exchange.handler.startswith(EXCLUDED):
            return
        requests, request_size, response_size, durations = self._of(exchange)
        requests.inc()
        request_size.observe(exchange.request_size)
        response_size.observe(exchange.response_size)
        durations.observe(exchange.seconds)
        self._all_durations.observe(exchange.seconds)

    def page(self) -> bytes:
        """Return the metrics in text format."""
        return generate_latest(self.registry)

    def _of(self, exchange: Exchange) -> tuple[Any, ...]:
        """Return the series of a request; finding them by labels takes longer than counting."""
        method, status, handler = exchange.method, exchange.status // 100, exchange.handler
        series = self._series.get((method, status, handler))
        if series is None:
            series = self._series[method, status, handler] = (
                self._requests.labels(method, f"{status}xx", handler),
                self._request_size.labels(handler),
                self._response_size.labels(handler),
                self._durations.labels(method, handler),
            )
        return series


def handler_of(path: str, routes: Mapping[str, Any]) -> str:
    """Return the handler's name: the route's path, and one name for all paths without a route."""
    return path if path in routes else _UNKNOWN


def content_length(headers: Any) -> int:
    """Return the value of `content-length` in raw headers, 0 without one."""
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
