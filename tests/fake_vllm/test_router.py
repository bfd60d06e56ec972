"""Responses of a vLLM server, byte by byte: one row per case."""

import asyncio
import json
from typing import Any

import numpy as np
import pytest

from fake_vllm.distributions import Constant
from fake_vllm.engine.context import EngineContext, Randomness
from fake_vllm.engine.engine import Artifact, Engine, EngineConfig
from fake_vllm.engine.timing import EngineTimes
from fake_vllm.flavors import flavor_of
from fake_vllm.router import Request, Response, handle, handle_immediate, requested_adapter

LOAD, UNLOAD = "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
NEW = "0.28.0"


def an_engine(**settings: Any) -> Engine:
    """An engine that has adapter `held` loaded, by default."""
    found = {"acme/huge": Artifact(rank=64), "acme/broken": Artifact(broken="bad header"), "nowhere": None}
    defaults = {
        "served_model_names": ("base",),
        "model": "acme/base",
        "max_model_len": 4096,
        "enable_lora": True,
        "max_loras": 8,
        "runtime_updating": True,
        "lora_modules": (("held", "/held"),),
    }
    config = EngineConfig(**{**defaults, **settings})
    return Engine(
        config,
        flavor_of(config),
        EngineTimes(Constant(0.0), Constant(0.0)),
        Randomness(np.random.default_rng(0)),
        EngineContext(find_artifact=lambda path: found.get(path, Artifact()), created=1767225600),
    )


def ask(
    engine: Engine, method: str, path: str, body: object = None, content_type: str = "application/json", **headers: str
) -> Response:
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    all_headers = {"content-type": content_type, **headers} if content_type else headers
    return asyncio.run(handle(engine, Request(method, path, all_headers, raw)))


def envelope(status: int, kind: str, message: str) -> bytes:
    error = {"message": message, "type": kind, "param": None, "code": status}
    return json.dumps({"error": error}, separators=(",", ":")).encode()


HINT = " If you want to load the adapter in place, set 'load_inplace' to True."
BOTH = "Both 'lora_name' and 'lora_path' must be provided."


@pytest.mark.parametrize(
    ("path", "body", "status", "kind", "message"),
    [
        (LOAD, {"lora_name": "", "lora_path": "p"}, 400, "InvalidUserInput", BOTH),
        (LOAD, {"lora_name": "n", "lora_path": ""}, 400, "InvalidUserInput", BOTH),
        (
            LOAD,
            {"lora_name": "held", "lora_path": "p"},
            400,
            "InvalidUserInput",
            "The lora adapter 'held' has already been loaded." + HINT,
        ),
        (
            LOAD,
            {"lora_name": "n", "lora_path": "nowhere"},
            404,
            "NotFoundError",
            "Loading lora n failed: No adapter found for nowhere",
        ),
        (
            LOAD,
            {"lora_name": "n", "lora_path": "acme/huge"},
            500,
            "InternalServerError",
            "Call to add_lora method failed: LoRA rank 64 is greater than max_lora_rank 16.",
        ),
        (
            LOAD,
            {"lora_name": "n", "lora_path": "acme/broken"},
            500,
            "InternalServerError",
            "Call to add_lora method failed: bad header",
        ),
        (
            UNLOAD,
            {"lora_name": ""},
            400,
            "InvalidUserInput",
            "'lora_name' needs to be provided to unload a LoRA adapter.",
        ),
        (UNLOAD, {"lora_name": "n"}, 404, "NotFoundError", "The lora adapter 'n' cannot be found."),
    ],
)
def test_refusals_come_in_vllms_envelope(path: str, body: object, status: int, kind: str, message: str) -> None:
    response = ask(an_engine(), "POST", path, body)
    assert response == Response(status, {"content-type": "application/json"}, envelope(status, kind, message))


def test_success_is_bare_text() -> None:
    engine = an_engine()
    loaded = ask(engine, "POST", LOAD, {"lora_name": "n", "lora_path": "p"})
    assert loaded == Response(200, {}, b"Success: LoRA adapter 'n' added successfully.")
    unloaded = ask(engine, "POST", UNLOAD, {"lora_name": "n", "lora_int_id": 3})
    assert unloaded == Response(200, {}, b"Success: LoRA adapter 'n' removed successfully.")


@pytest.mark.parametrize("in_place", [True, "true", 1])
def test_a_load_in_place_replaces(in_place: object) -> None:
    engine = an_engine()
    body = {"lora_name": "held", "lora_path": "/other", "load_inplace": in_place, "is_3d_lora_weight": False}
    assert ask(engine, "POST", LOAD, body).status == 200
    assert engine.adapters == {"held": "/other"}


def test_an_engine_that_lost_the_weights_unloads_the_name() -> None:
    engine = an_engine(version=NEW, max_loras=1)
    assert ask(engine, "POST", LOAD, {"lora_name": "n", "lora_path": "p"}).status == 200
    assert ask(engine, "POST", UNLOAD, {"lora_name": "held"}).status == 200
    assert b'"held"' not in ask(engine, "GET", "/v1/models").body


@pytest.mark.parametrize(("version", "status"), [("0.7.1", 422), ("0.27.0", 400), (NEW, 400)])
@pytest.mark.parametrize(
    ("path", "body", "content_type"),
    [
        (LOAD, {"lora_name": "n", "lora_path": "p"}, "text/plain"),
        (LOAD, {"lora_name": "n", "lora_path": "p"}, ""),
        (LOAD, b"{", "application/json"),
        (LOAD, b"", "application/json"),
        (LOAD, ["n", "p"], "application/json"),
        (LOAD, {"lora_name": "n"}, "application/json"),
        (LOAD, {"lora_path": "p"}, "application/json"),
        (LOAD, {"lora_name": 1, "lora_path": "p"}, "application/json"),
        (LOAD, {"lora_name": "n", "lora_path": None}, "application/json"),
        (LOAD, {"lora_name": "n", "lora_path": "p", "load_inplace": "maybe"}, "application/json"),
        (LOAD, {"lora_name": "n", "lora_path": "p", "load_inplace": []}, "application/json"),
        (UNLOAD, {}, "application/json"),
        (UNLOAD, {"lora_name": "held", "lora_int_id": "x"}, "application/json"),
    ],
)
def test_a_body_of_the_wrong_form_is_a_validation_error(
    path: str, body: object, content_type: str, version: str, status: int
) -> None:
    response = ask(an_engine(version=version), "POST", path, body, content_type)
    error = json.loads(response.body)["error"]
    kind = "BadRequestError" if status == 422 else "Bad Request"
    assert (response.status, error["code"], error["type"]) == (status, status, kind)
    assert "validation error" in error["message"]


@pytest.mark.parametrize("body", [b"\xff", b"[" * 5000])
def test_a_body_that_cannot_be_read_gets_fastapis_own_error(body: bytes) -> None:
    response = ask(an_engine(), "POST", LOAD, body)
    assert (response.status, json.loads(response.body)) == (400, {"detail": "There was an error parsing the body"})


def test_a_charset_does_not_make_json_something_else() -> None:
    body = {"lora_name": "n", "lora_path": "p"}
    assert ask(an_engine(), "POST", LOAD, body, "Application/JSON; charset=utf-8").status == 200


def test_the_list_names_base_models_first() -> None:
    response = ask(an_engine(served_model_names=("base", "alias")), "GET", "/v1/models")
    assert response.headers == {"content-type": "application/json"}
    listed = json.loads(response.body)
    assert listed["object"] == "list"
    wanted = [
        ("base", "acme/base", None, 4096),
        ("alias", "acme/base", None, 4096),
        ("held", "/held", "base", None),
    ]
    assert [(m["id"], m["root"], m["parent"], m["max_model_len"]) for m in listed["data"]] == wanted
    assert all((m["object"], m["owned_by"], m["created"]) == ("model", "vllm", 1767225600) for m in listed["data"])


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/health", 200, b""),
        ("GET", "/ping", 200, b""),
        ("POST", "/ping", 200, b""),
        ("GET", "/version", 200, b'{"version":"0.27.0"}'),
        ("GET", "/nowhere", 404, b'{"detail":"Not Found"}'),
        ("GET", "/v1/nowhere", 404, b'{"detail":"Not Found"}'),
        ("GET", LOAD, 405, b'{"detail":"Method Not Allowed"}'),
        ("POST", "/v1/models", 405, b'{"detail":"Method Not Allowed"}'),
        ("OPTIONS", "/v1/models", 405, b'{"detail":"Method Not Allowed"}'),
    ],
)
def test_plain_routes(method: str, path: str, status: int, body: bytes) -> None:
    response = ask(an_engine(), method, path)
    assert (response.status, response.body) == (status, body)


@pytest.mark.parametrize("path", ["/health", "/ping"])
def test_a_dead_engine_is_unhealthy(path: str) -> None:
    engine = an_engine()
    engine.crash_core("its files are gone")
    assert ask(engine, "GET", path) == Response(503, {}, b"")


@pytest.mark.parametrize("path", [LOAD, UNLOAD])
def test_without_runtime_updating_the_routes_are_not_there(path: str) -> None:
    response = ask(an_engine(runtime_updating=False), "POST", path, {"lora_name": "held", "lora_path": "p"})
    assert (response.status, response.body) == (404, b'{"detail":"Not Found"}')


KEYS = ("sk-one", "sk-two")


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Bearer sk-one", 200),
        ("bearer sk-two", 200),
        ("BEARER sk-one", 200),
        ("Basic sk-one", 401),
        ("Bearer sk-on", 401),
        ("Bearer  sk-one", 401),
        ("Bearer ké", 401),
        ("sk-one", 401),
        ("", 401),
    ],
)
def test_the_api_key_is_required(header: str, status: int) -> None:
    response = ask(an_engine(api_keys=KEYS), "GET", "/v1/models", authorization=header)
    assert response.status == status
    if status == 401:
        assert response.body == b'{"error":"Unauthorized"}'


@pytest.mark.parametrize(
    ("method", "path", "old", "new"),
    [
        ("GET", "/v1/models", 401, 401),
        ("POST", LOAD, 401, 401),
        ("GET", "/v1/nowhere", 401, 401),
        ("OPTIONS", "/v1/models", 405, 405),
        ("GET", "/health", 200, 200),
        ("GET", "/ping", 200, 200),
        ("GET", "/version", 200, 200),
        ("GET", "/nowhere", 404, 404),
    ],
)
def test_which_routes_the_key_guards(method: str, path: str, old: int, new: int) -> None:
    assert ask(an_engine(api_keys=KEYS), method, path).status == old
    assert ask(an_engine(api_keys=KEYS, version=NEW), method, path).status == new


def test_immediate_requests_are_answered_and_others_are_left_undone() -> None:
    engine = an_engine()
    headers = {"content-type": "application/json"}
    listed = handle_immediate(engine, Request("GET", "/v1/models", {}))
    assert listed is not None
    assert listed.status == 200
    refused = handle_immediate(engine, Request("POST", LOAD, headers, b"{}"))
    assert refused is not None
    assert refused.status == 400
    assert handle_immediate(engine, Request("POST", UNLOAD, headers, b'{"lora_name":"held"}')) is None
    assert engine.adapters == {"held": "/held"}


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        (LOAD, b'{"lora_name":"n"}', "n"),
        (UNLOAD, b'{"lora_name":"n"}', "n"),
        ("/v1/models", b'{"lora_name":"n"}', ""),
        (LOAD, b"{", ""),
        (LOAD, b"\xff", ""),
        (LOAD, b"[]", ""),
        (LOAD, b'{"lora_name":1}', ""),
    ],
)
def test_a_requests_adapter_is_the_one_its_body_names(path: str, body: bytes, name: str) -> None:
    assert requested_adapter(Request("POST", path, {}, body)) == name
