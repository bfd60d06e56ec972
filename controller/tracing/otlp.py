"""Traces by OpenTelemetry, sent by OTLP over HTTP. Imported only where tracing is on, since it needs the extra `otel`.

Attributes have the names of OpenTelemetry's semantic conventions (HTTP, Kubernetes) where these have one; all others
begin with `lora_controller.`. Sampling, headers, timeouts and certificates are configured by the standard `OTEL_*`
variables, which the SDK reads.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version

import httpx
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.typing import FilteringBoundLogger

from controller.tracing.interface import NO_SPAN, Span

_SERVICE = "lora-controller"
_PROPAGATOR = TraceContextTextMapPropagator()
_SDK_LOG = logging.getLogger("opentelemetry")


class OtlpTracer:
    """Records spans with a provider."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer(_SERVICE, version("lora-twin"))

    def reconcile(self, adapter: str) -> AbstractContextManager[Span]:
        return self._span("reconcile ModelAdapter", SpanKind.INTERNAL, _adapter_attributes(adapter))

    def api_request(self, method: str, resource: str) -> AbstractContextManager[Span]:
        if not trace.get_current_span().is_recording():
            return NO_SPAN
        attributes = {"http.request.method": method, "lora_controller.resource": resource}
        return self._span(f"{method} {resource}", SpanKind.CLIENT, attributes)

    def engine_call(self, verb: str, adapter: str, pod: str) -> AbstractContextManager[Span]:
        if not trace.get_current_span().get_span_context().is_valid:  # an audit, which no reconcile has started
            return NO_SPAN
        attributes = {**_adapter_attributes(adapter), "k8s.pod.name": pod.rpartition("/")[2]}
        return self._span(f"{verb} adapter", SpanKind.INTERNAL, attributes)

    @contextmanager
    def engine_request(self, request: httpx.Request) -> Iterator[Span]:
        if not trace.get_current_span().is_recording():
            yield NO_SPAN
            return
        url = request.url
        attributes: dict[str, str | int] = {
            "http.request.method": request.method,
            "server.address": url.host,
            "server.port": url.port or 80,
            "url.full": str(url),
        }
        with self._span(f"{request.method} {url.path}", SpanKind.CLIENT, attributes) as span:
            _PROPAGATOR.inject(request.headers)
            yield span

    @contextmanager
    def _span(self, name: str, kind: SpanKind, attributes: Mapping[str, str | int]) -> Iterator[Span]:
        """Begin a span. An exception is recorded by its class: its text can contain a credential."""
        with self._tracer.start_as_current_span(
            name, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as recorded:
            span = _OtlpSpan(recorded)
            try:
                yield span
            except BaseException as error:
                if not span.failed:
                    span.fail(type(error).__name__)
                raise


class _OtlpSpan:
    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self.failed = False

    def set(self, name: str, value: str | int | bool) -> None:
        self._span.set_attribute(name, value)

    def fail(self, reason: str) -> None:
        self.failed = True
        self._span.set_attribute("error.type", reason)
        self._span.set_status(Status(StatusCode.ERROR))


class TraceExport:
    """Sends spans to `url` in batches, from a thread of its own.

    `instance`: identity of this replica. Errors of the exporter are warnings in `log`.
    """

    def __init__(self, url: str, instance: str, log: FilteringBoundLogger) -> None:
        self._handler = _WarningHandler(log)
        _SDK_LOG.addHandler(self._handler)
        own = {"service.name": _SERVICE, "service.version": version("lora-twin"), "service.instance.id": instance}
        resource = Resource(own).merge(OTELResourceDetector().detect())  # OTEL_SERVICE_NAME takes precedence
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
        self.tracer = OtlpTracer(self._provider)

    def close(self) -> None:
        """Send the last spans, for a few seconds at most."""
        self._provider.shutdown()
        _SDK_LOG.removeHandler(self._handler)


class _WarningHandler(logging.Handler):
    """Passes messages of the SDK on to the operator's log, without tracebacks."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.warning("traces were not sent", error=record.getMessage())


def _adapter_attributes(adapter: str) -> dict[str, str]:
    namespace, _, name = adapter.partition("/")
    return {"k8s.namespace.name": namespace, "lora_controller.adapter": name}
