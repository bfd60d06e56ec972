"""The sidecar with an SGLang server, both as processes: adapters, and metrics in each of the three modes."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.controller.sidecar.processes import Process, a_process, a_sidecar_process
from tests.controller.sidecar.worlds import LOAD, UNLOAD, WebServer, an_adapter, web_server
from tests.ports import free_port

RENAMED = ("queue_size", "generation_throughput", "cache_hit_rate", "token_usage")
COUNTED = ("prompt_tokens_total", "generation_tokens_total", "time_to_first_token_seconds_bucket")
AS_THEY_ARE = ("num_running_reqs", "num_used_tokens")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    port = free_port()
    flags = ("--enable-lora", "--max-lora-rank", "64", "--max-loaded-loras", "8", "--lora-target-modules", "all")
    place = ("--host", "127.0.0.1", "--port", str(port), "--load-latency", "10ms")
    command = ("serve", "--dialect", "sglang", "--model-path", "base", "--enable-metrics", *flags, *place)
    with a_process(tmp_path_factory.mktemp("sglang") / "log", "fake_vllm", *command, port=port) as process:
        process.wait("/health")
        body = {"text": "hello", "sampling_params": {"max_new_tokens": 4}}
        assert httpx.post(f"{process.url}/generate", json=body, timeout=30).status_code == 200
        yield process


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as server:
        server.put("/sql", an_adapter())
        server.put("/rust", an_adapter(fill=b"r"))
        yield server


def test_adapters_come_and_go_in_sglangs_words(engine: Process, web: WebServer, tmp_path: Path) -> None:
    with (
        a_sidecar_process(
            tmp_path / "log", tmp_path / "cache", engine.url, free_port(), INFERENCE_ENGINE="sglang"
        ) as sidecar,
        httpx.Client(base_url=sidecar.url, timeout=30) as client,
    ):
        assert client.get("/ready").status_code == 200
        order = {"lora_name": "sql", "artifact_url": f"{web.url}/sql/"}
        path = client.post(LOAD, json=order).json()["local_path"]
        listed = {model["id"]: model.get("root") for model in client.get("/v1/models").json()["data"]}
        assert listed["sql"] == path
        again = client.post(LOAD, json=order)
        assert (again.status_code, again.json()["message"]) == (200, "adapter sql was loaded already")
        taken = client.post(LOAD, json={**order, "artifact_url": f"{web.url}/rust/"})
        assert (taken.status_code, taken.json()["error"]["code"]) == (409, "name_taken")
        for message in ("adapter sql is unloaded", "adapter sql was not loaded"):
            gone = client.post(UNLOAD, json={"lora_name": "sql"})
            assert (gone.status_code, gone.json()["message"]) == (200, message)
        assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("environment", "renamed"),
    [
        ({}, True),
        ({"METRICS_RAW_PASSTHROUGH_MODE": "1"}, False),
        ({"METRICS_ENABLE_TRANSFORMATION": "0", "METRICS_RAW_PASSTHROUGH_MODE": "0"}, False),
    ],
    ids=["renamed", "raw", "never renamed"],
)
def test_its_metrics_in_the_three_modes(
    engine: Process, tmp_path: Path, environment: dict[str, str], renamed: bool
) -> None:
    with a_sidecar_process(
        tmp_path / "log", tmp_path / "cache", engine.url, free_port(), INFERENCE_ENGINE="sglang", **environment
    ) as sidecar:
        page = httpx.get(f"{sidecar.url}/metrics", timeout=30).text
    names = set(re.findall(r"^([a-z_:]+)[{ ]", page, re.MULTILINE))
    assert {f"sglang:{name}" for name in AS_THEY_ARE} <= names
    assert "lora_runtime_engine_up" in names
    expected = {f"aibrix:{name}" for name in (*RENAMED, *COUNTED)}
    assert (expected <= names) is renamed
    assert any(name.startswith("aibrix:") for name in names) is renamed
    assert ("sglang:num_queue_reqs" in names) is not renamed
