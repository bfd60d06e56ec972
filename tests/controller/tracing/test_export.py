"""Spans reach a receiver by OTLP over HTTP; one that refuses them costs the operator a line of its log."""

import asyncio
import gzip
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from controller.clock import SystemClock
from controller.logging import logger
from controller.main import operate
from controller.options import Options
from controller.tracing.otlp import TraceExport


class Receiver:
    def __init__(self, status: int) -> None:
        self.status = status
        self.requests: list[tuple[str, ExportTraceServiceRequest]] = []
        self.url = ""


@contextmanager
def a_receiver(status: int = 200) -> Iterator[Receiver]:
    receiver = Receiver(status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers["content-encoding"] == "gzip":
                body = gzip.decompress(body)
            request = ExportTraceServiceRequest()
            request.ParseFromString(body)
            receiver.requests.append((self.path, request))
            self.send_response(receiver.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}/v1/traces"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def send_one(receiver: Receiver) -> list[dict[str, str]]:
    """Record a reconcile and stop; return the lines of the log."""
    stream = StringIO()
    export = TraceExport(receiver.url, "operator-1", logger(SystemClock(), stream))
    with export.tracer.reconcile("models/sql"):
        pass
    export.close()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_the_last_spans_are_sent_at_the_end_with_the_name_of_the_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    with a_receiver() as receiver:
        assert send_one(receiver) == []
        monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
        send_one(receiver)
    (path, request), (_, renamed) = receiver.requests
    assert path == "/v1/traces"
    assert request.resource_spans[0].scope_spans[0].spans[0].name == "reconcile ModelAdapter"
    own = {"service.name": "lora-controller", "service.instance.id": "operator-1"}
    assert own.items() <= _resource(request).items()
    assert _resource(renamed)["service.name"] == "mine"


def test_a_receiver_that_refuses_is_a_warning() -> None:
    with a_receiver(400) as receiver:
        (line,) = send_one(receiver)
    assert (line["event"], line["level"]) == ("traces were not sent", "warning")
    assert "400" in line["error"]


def _resource(request: ExportTraceServiceRequest) -> dict[str, str]:
    return {item.key: item.value.string_value for item in request.resource_spans[0].resource.attributes}


def test_without_its_packages_the_option_is_refused_with_the_command_that_adds_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "controller.tracing.otlp", None)
    assert asyncio.run(operate(Options(otlp_endpoint="http://127.0.0.1:4318"), SystemClock())) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("lora-controller: the opentelemetry packages are missing: ")
    assert "[otel]" in line
