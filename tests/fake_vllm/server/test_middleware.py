"""Responses that do not pass the middleware, and the metrics application that is mounted beside the routes."""

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.conformance.profiles import PROFILES
from tests.conformance.servers.in_process import serving_in_process

MISSING = {"lora_name": "a", "lora_path": "/none"}
GREEDY = {"model": "base", "prompt": [5], "n": 2, "temperature": 0}
UNKNOWN = {"model": "none", "prompt": [5]}


def vary(response: httpx.Response) -> str | None:
    return response.headers.get("vary")


@pytest.mark.parametrize(
    ("version", "load", "greedy"),
    [("0.16.0", True, True), ("0.20.2", False, False), ("0.24.0", True, False), ("0.32.0", True, True)],
)
def test_an_exception_that_no_handler_takes_has_no_headers_of_the_middleware(
    version: str, load: bool, greedy: bool
) -> None:
    """As recorded; a response of the route itself always has them."""
    with serving_in_process(version, PROFILES["lora"]) as server:
        assert (vary(server.client.post("/v1/load_lora_adapter", json=MISSING)) is not None) == load
        assert (vary(server.client.post("/v1/completions", json=GREEDY)) is not None) == greedy
        assert vary(server.client.post("/v1/completions", json=UNKNOWN)) == "Origin"


def test_such_a_response_counts_as_a_server_error() -> None:
    with serving_in_process("0.20.2", PROFILES["lora"]) as server:
        assert server.client.post("/v1/completions", json=GREEDY).status_code == 400
        page = server.client.get("/metrics").text
        assert 'http_requests_total{handler="/v1/completions",method="POST",status="5xx"} 1.0' in page


def test_the_mounted_metrics_are_openmetrics_for_clients_that_accept_it() -> None:
    accept = {"accept": "application/openmetrics-text; version=1.0.0", "accept-encoding": "identity"}
    wanted = {"name[]": "python_info"}
    with serving_in_process("0.32.0", PROFILES["lora"]) as server:
        page = server.client.get("/metrics/", params=wanted, headers=accept)
        plain = server.client.get("/metrics", headers=accept)
        packed = server.client.get("/metrics/", headers={**accept, "accept-encoding": "gzip"})
    assert page.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert [family.name for family in text_string_to_metric_families(page.text)] == ["python_info"]
    assert plain.headers["content-type"].startswith("text/plain")
    assert packed.headers["content-encoding"] == "gzip"
    assert "vllm:num_requests_running" in packed.text
