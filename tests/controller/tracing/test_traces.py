"""Traces of the whole operator, in a memory exporter of OpenTelemetry; nothing confidential is in them."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from controller.client.traced import TracedClient
from controller.tracing.otlp import OtlpTracer
from tests.contract import worlds
from tests.contract.cluster import Cluster
from tests.controller.mock_engines import Engines

SECRET = "hf_fromTheEnginesAnswer"


class Recorded:
    """Spans that have ended."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self._provider = TracerProvider(shutdown_on_exit=False)
        self._provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = OtlpTracer(self._provider)

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def close(self) -> None:
        self._provider.shutdown()


@contextmanager
def recording() -> Iterator[Recorded]:
    recorded = Recorded()
    try:
        yield recorded
    finally:
        recorded.close()


class Seen(Engines):
    """Engines that keep the trace headers that they get, and refuse the first loads."""

    def __init__(self, refusals: int = 0) -> None:
        super().__init__()
        self.refusals = refusals
        self.parents: dict[str, str] = {}
        """`traceparent` of the last request, by path."""

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.parents[request.url.path] = request.headers.get("traceparent", "")
        if request.url.path == "/v1/load_lora_adapter" and self.refusals:
            self.refusals -= 1
            return httpx.Response(500, json={"error": {"message": f"no file with {SECRET}", "code": 500}})
        return super()._answer(request)


def lifecycle(recorded: Recorded, refusals: int = 0) -> Seen:
    """Let an operator load an adapter and delete it; return what its engines got."""
    engines = Seen(refusals)

    async def story() -> None:
        async with worlds.in_process() as world, asyncio.timeout(60):
            cluster = Cluster(world, TracedClient(world.client, recorded.tracer))
            cluster.engines = engines
            await cluster.add_pod("qwen-0", "10.0.0.1")
            await cluster.add_adapter()
            async with cluster.operating(tracer=recorded.tracer):
                if refusals:
                    await cluster.until(lambda: _ended(recorded, "load adapter"))
                else:
                    await cluster.until(cluster.is_running)

    asyncio.run(story())
    return engines


async def _ended(recorded: Recorded, name: str) -> bool:
    return bool(recorded.spans(name))


def parent_of(span: ReadableSpan, spans: Sequence[ReadableSpan]) -> ReadableSpan:
    assert span.parent is not None
    (result,) = (each for each in spans if each.context.span_id == span.parent.span_id)
    return result


def test_a_load_is_traced_from_its_reconcile_to_the_engine() -> None:
    with recording() as recorded:
        engines = lifecycle(recorded)
        spans = recorded.exporter.get_finished_spans()
        (load,) = recorded.spans("load adapter")
        (request,) = recorded.spans("POST /v1/load_lora_adapter")
    reconcile = parent_of(load, spans)
    assert (reconcile.name, reconcile.parent) == ("reconcile ModelAdapter", None)
    assert parent_of(request, spans) is load
    assert request.kind is SpanKind.CLIENT
    assert load.attributes == {
        "k8s.namespace.name": "contract",
        "k8s.pod.name": "qwen-0",
        "lora_controller.adapter": "sql",
        "lora_controller.sent": True,
    }
    assert request.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "server.address": "10.0.0.1",
        "server.port": 8000,
        "url.full": "http://10.0.0.1:8000/v1/load_lora_adapter",
    }
    context = request.context
    assert engines.parents["/v1/load_lora_adapter"][:-3] == f"00-{context.trace_id:032x}-{context.span_id:016x}"


def test_writes_to_the_api_server_are_parts_of_a_reconcile_and_reads_of_informers_are_not() -> None:
    with recording() as recorded:
        lifecycle(recorded)
        spans = recorded.exporter.get_finished_spans()
    writes = [span for span in spans if span.name == "PATCH modeladapters"]
    assert writes
    assert {parent_of(span, spans).name for span in writes} == {"reconcile ModelAdapter"}
    assert {(span.attributes or {})["http.response.status_code"] for span in writes} == {200}
    roots = {span.name for span in spans if span.parent is None}
    assert roots == {"reconcile ModelAdapter"}, "lists of informers, leases, audits and scrapes are not traced"


def test_a_failed_load_has_a_reason_and_no_text_of_the_engine() -> None:
    with recording() as recorded:
        lifecycle(recorded, refusals=1)
        (load,), (request,) = recorded.spans("load adapter"), recorded.spans("POST /v1/load_lora_adapter")
        everything = "".join(span.to_json() for span in recorded.exporter.get_finished_spans())
    assert (request.attributes or {})["error.type"] == "500"
    assert not load.status.is_ok
    assert str((load.attributes or {})["error.type"]).isalpha(), "the word of the condition"
    assert not load.events, "an exception's text can contain a credential"
    assert SECRET not in everything
    assert "acme/sql" not in everything, "the URL of an artifact can contain a credential"


def test_an_error_of_the_operator_itself_is_recorded_by_its_class_only() -> None:
    with recording() as recorded:
        with pytest.raises(RuntimeError), recorded.tracer.reconcile("models/sql"):
            raise RuntimeError(SECRET)
        (span,) = recorded.exporter.get_finished_spans()
    assert (span.attributes or {})["error.type"] == "RuntimeError"
    assert SECRET not in span.to_json()
