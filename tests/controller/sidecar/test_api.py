"""Responses of the sidecar's API, byte for byte: callers parse them, so they do not change with the web framework."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.engine.flavors import VLLM
from controller.sidecar import trace_context
from controller.sidecar.engine import LocalEngine
from tests.controller.sidecar.worlds import LOAD, UNLOAD, a_sidecar, run

ADAPTER = {"lora_name": "a", "artifact_url": "/models/a"}
OTHER = {"lora_name": "a", "artifact_url": "/models/b"}
JSON = {"content-type": "application/json"}
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def success(message: str, **more: str) -> str:
    return json.dumps({"status": "success", "lora_name": "a", **more, "message": message}, separators=(",", ":"))


def error(code: str, message: str, status: int, *, retriable: bool = False) -> str:
    detail = {"code": code, "message": message, "type": code, "status": status, "retriable": retriable}
    return json.dumps({"error": detail}, separators=(",", ":"))


def responses(folder: Path, *requests: tuple[str, str, dict[str, Any] | None]) -> list[httpx.Response]:
    async def story() -> list[httpx.Response]:
        async with a_sidecar(folder) as sidecar:
            return [await sidecar.client.request(method, path, json=body) for method, path, body in requests]

    return asyncio.run(story())


def test_documented_requests_have_the_documented_responses(tmp_path: Path) -> None:
    cases = [
        (("GET", "/healthz", None), 200, '{"status":"ok"}'),
        (("GET", "/ready", None), 200, '{"status":"ready"}'),
        (("GET", "/v1/downloads", None), 200, '{"downloads":[]}'),
        (("POST", LOAD, ADAPTER), 200, success("adapter a is loaded", local_path="/models/a")),
        (("POST", LOAD, ADAPTER), 200, success("adapter a was loaded already", local_path="/models/a")),
        (
            ("POST", LOAD, {**ADAPTER, "credentials": None, "additional_config": {"x": "y"}}),
            200,
            success("adapter a was loaded already", local_path="/models/a"),
        ),
        (
            ("POST", LOAD, OTHER),
            409,
            error(
                "name_taken",
                "the engine has another artifact loaded as a: unload that before loading this",
                409,
                retriable=True,
            ),
        ),
        (("POST", UNLOAD, {"lora_name": "a"}), 200, success("adapter a is unloaded")),
        (("POST", UNLOAD, {"lora_name": "a", "cleanup_local": False}), 200, success("adapter a was not loaded")),
    ]
    actual = responses(tmp_path, *(request for request, _, _ in cases))
    assert [(response.status_code, response.text) for response in actual] == [
        (status, text) for _, status, text in cases
    ]


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (LOAD, {"lora_name": "a"}, "the request is not valid: artifact_url: Field required"),
        (LOAD, {**ADAPTER, "lora_name": 1}, "the request is not valid: lora_name: Input should be a valid string"),
        (LOAD, {**ADAPTER, "name": "a"}, "the request is not valid: name: Extra inputs are not permitted"),
        (LOAD, {**ADAPTER, "credentials": "s3cret"}, "the request is not valid: credentials: Input should be a valid"),
        (LOAD, {**ADAPTER, "credentials": {"s3cret": 5}}, "the request is not valid: credentials: Input should be a"),
        (
            UNLOAD,
            {"lora_name": "a", "cleanup_local": "yes"},
            "the request is not valid: cleanup_local: Input should be a valid boolean",
        ),
    ],
)
def test_an_invalid_request_names_the_field_and_not_its_value(
    tmp_path: Path, path: str, body: dict[str, Any], message: str
) -> None:
    (response,) = responses(tmp_path, ("POST", path, body))
    assert (response.status_code, response.headers["x-code"]) == (400, "invalid_request")
    assert response.json()["error"]["message"].startswith(message)
    assert "s3cret" not in response.text


@pytest.mark.parametrize("content", [b"", b'{"lora_name":', b'{"lora_name": "\xff"}', b"[" * 100_000])
def test_a_body_that_is_not_json_is_refused(tmp_path: Path, content: bytes) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            response = await sidecar.client.post(LOAD, content=content, headers=JSON)
            assert response.text == error("invalid_request", "the request is not valid JSON", 400)

    run(story())


@pytest.mark.parametrize("headers", [{}, {"content-type": "text/plain"}, {"content-type": "application/x-www-form"}])
def test_the_content_type_need_not_be_json(tmp_path: Path, headers: dict[str, str]) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            response = await sidecar.client.post(LOAD, content=json.dumps(ADAPTER).encode(), headers=headers)
            assert response.text == success("adapter a is loaded", local_path="/models/a")

    run(story())


def test_the_schema_and_its_page_are_served(tmp_path: Path) -> None:
    schema, page = responses(tmp_path, ("GET", "/openapi.json", None), ("GET", "/docs", None))
    assert set(schema.json()["paths"]) >= {
        LOAD,
        UNLOAD,
        "/v1/models",
        "/v1/downloads",
        "/healthz",
        "/ready",
        "/metrics",
    }
    assert schema.json()["components"]["schemas"]["LoadRequest"]["required"] == ["lora_name", "artifact_url"]
    assert page.status_code == 200


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"traceparent": TRACEPARENT}, {"traceparent": TRACEPARENT}),
        ({"traceparent": TRACEPARENT, "tracestate": "a=b"}, {"traceparent": TRACEPARENT, "tracestate": "a=b"}),
        ({"traceparent": "00-x", "tracestate": "a=b"}, {}),
        ({"tracestate": "a=b"}, {}),
        ({}, {}),
    ],
)
def test_the_engine_gets_the_trace_headers_of_the_request(sent: dict[str, str], expected: dict[str, str]) -> None:
    trace_context.receive({"traceparent": TRACEPARENT})
    trace_context.receive(sent)
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    asyncio.run(LocalEngine("http://127.0.0.1:8000", VLLM, httpx.MockTransport(answer)).load("a", "/models/a", ""))
    assert {name: value for name, value in seen[0].headers.items() if name.startswith("trace")} == expected
