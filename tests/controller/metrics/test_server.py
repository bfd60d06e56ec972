"""Metrics and probes of the operator over a real socket."""

import asyncio
import contextlib
from collections.abc import Callable

import httpx
import pytest

from controller.metrics.instruments import Metrics
from controller.metrics.server import serve


def answers(*requests: tuple[str, str], alive: str = "", ready: str = "", accept: str = "") -> list[httpx.Response]:
    """Return the response to each (method, path)."""

    async def main() -> list[httpx.Response]:
        metrics = Metrics()
        metrics.observe_load("succeeded")
        async with (
            serve(metrics, lambda: alive, lambda: ready, port=0, host="127.0.0.1") as port,
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", headers={"accept": accept} if accept else {}
            ) as client,
        ):
            return [await client.request(method, path) for method, path in requests]

    return asyncio.run(main())


def test_metrics_are_text_that_prometheus_reads() -> None:
    (answer,) = answers(("GET", "/metrics"))
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'lora_controller_loads_total{outcome="succeeded"} 1.0' in answer.text


def test_open_metrics_are_negotiated() -> None:
    (answer,) = answers(("GET", "/metrics"), accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_a_healthy_operator_is_alive_and_ready() -> None:
    assert [(a.status_code, a.text) for a in answers(("GET", "/healthz"), ("GET", "/readyz?verbose"))] == [
        (200, "ok\n")
    ] * 2


def test_a_failing_probe_says_what_is_wrong() -> None:
    alive, ready = answers(("GET", "/healthz"), ("GET", "/readyz"), ready="waiting for the first list of Pod")
    assert alive.status_code == 200
    assert (ready.status_code, ready.text) == (503, "waiting for the first list of Pod\n")


def test_nothing_else_is_served() -> None:
    unknown, writer, head = answers(("GET", "/"), ("POST", "/metrics"), ("HEAD", "/healthz"))
    assert unknown.status_code == 404
    assert (writer.status_code, set(writer.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "3")


@pytest.mark.parametrize("sent", [b"", b"GET /healthz", b"\x00\xff" * 10 + b"\r\n\r\n", b"x" * 40000 + b"\r\n\r\n"])
def test_an_invalid_request_closes_its_own_connection_only(sent: bytes) -> None:
    async def main() -> int:
        async with serve(Metrics(), _well, _well, port=0, host="127.0.0.1") as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
            async with httpx.AsyncClient() as client:
                return (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code

    assert asyncio.run(main()) == 200


_well: Callable[[], str] = lambda: ""  # noqa: E731
