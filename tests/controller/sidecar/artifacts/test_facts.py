"""Facts about an adapter, held against what a real vLLM said of the same folders, and read over the API."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from controller.sidecar.artifacts.facts import ArtifactFacts, facts_of_folder, read_facts
from tests.conformance import recording
from tests.conformance.adapters.artifacts import CATALOGUE
from tests.controller.sidecar.worlds import Sidecar, WebServer, a_sidecar, an_adapter, code, run, web_server

INSPECT = "/v1/lora_adapter/inspect"
LIMIT = 16
_TOO_LARGE = re.compile(r"LoRA rank (\d+) is greater than max_lora_rank 16")


def test_the_rank_is_the_one_that_vllm_compares_with_its_limit(tmp_path: Path) -> None:
    cases = recording.read(recording.path_of("0.32.0")).cases
    refused, taken = {}, {}
    for name, make in CATALOGUE.items():
        if (case := cases.get(f"loading/folder/{name}")) is None:
            continue
        folder = tmp_path / name
        folder.mkdir()
        make(folder)
        answer = case[0]
        named = _TOO_LARGE.search(answer["json"]["error"]["message"]) if answer["status"] == 500 else None
        if named is not None:
            refused[name] = min(int(named[1]), 2**31 - 1), facts_of_folder(folder).rank
        elif answer["status"] == 200:
            taken[name] = facts_of_folder(folder).rank
    assert len(refused) >= 2
    assert {name: pair for name, pair in refused.items() if pair[0] != pair[1]} == {}
    assert "rank1" in taken
    assert {name: rank for name, rank in taken.items() if rank > LIMIT} == {}


@pytest.mark.parametrize(
    ("config", "facts"),
    [
        (b"", ArtifactFacts()),
        (b"[]", ArtifactFacts()),
        (b'{"r": true, "target_modules": "all-linear", "base_model_name_or_path": 7}', ArtifactFacts()),
        (b'{"r": 8, "target_modules": ["v", "q", "q", 1, "a b"]}', ArtifactFacts(8, target_modules=("q", "v"))),
        (b'{"r": 8, "rank_pattern": {"q": 32, "k": "64"}}', ArtifactFacts(32)),
        (b'{"base_model_name_or_path": "acme/Base-3.1"}', ArtifactFacts(base_model="acme/Base-3.1")),
        (b'{"base_model_name_or_path": "a\\nb"}', ArtifactFacts()),
        (b"[" * 100_000, ArtifactFacts()),
    ],
)
def test_only_values_that_adapters_have_are_facts(config: bytes, facts: ArtifactFacts) -> None:
    assert read_facts(config, {}) == facts


def test_the_size_is_that_of_the_weights_and_unknown_if_one_of_them_is() -> None:
    assert read_facts(b"{}", {"adapter_config.json": 5, "a.safetensors": 100, "adapter_model.bin": 20}).size == 120
    assert read_facts(b"{}", {"a.safetensors": 100, "b.safetensors": -1}).size == 0


async def inspected(sidecar: Sidecar, url: str) -> dict[str, Any]:
    response = await sidecar.client.post(INSPECT, json={"artifact_url": url})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def adapter_at(server: WebServer, folder: str, **config: Any) -> dict[str, bytes]:
    files = an_adapter(5_000)
    fields = {**json.loads(files["adapter_config.json"]), **config}
    files["adapter_config.json"] = json.dumps(fields).encode()
    server.put(folder, files)
    return files


def test_the_facts_of_an_artifact_are_read_without_its_weights(tmp_path: Path) -> None:
    async def story() -> None:
        with web_server() as server:
            files = adapter_at(server, "/sql", r=64, base_model_name_or_path="acme/base")
            async with a_sidecar(tmp_path) as sidecar:
                facts = await inspected(sidecar, f"{server.url}/sql/")
                weights = [path for method, path, _ in server.requests if path.endswith(".safetensors")]
                assert server.sent < 1000, (server.sent, weights)
                assert sidecar.files() == []
        assert facts == {
            "status": "success",
            "rank": 64,
            "size_bytes": len(files["adapter_model.safetensors"]),
            "target_modules": ["q_proj"],
            "base_model": "acme/base",
        }

    run(story())


def test_an_artifact_that_is_missing_has_the_error_of_its_load(tmp_path: Path) -> None:
    async def story() -> None:
        with web_server() as server:
            async with a_sidecar(tmp_path) as sidecar:
                url = f"{server.url}/none/"
                response = await sidecar.client.post(INSPECT, json={"artifact_url": url})
                assert code(response) == code(await sidecar.load("none", url)) == (404, "artifact_not_found")

    run(story())


def test_a_folder_that_the_sidecar_cannot_see_has_no_facts_and_is_no_error(tmp_path: Path) -> None:
    async def story() -> None:
        folder = tmp_path / "adapters" / "sql"
        folder.mkdir(parents=True)
        for name, content in an_adapter(200).items():
            (folder / name).write_bytes(content)
        async with a_sidecar(tmp_path / "cache") as sidecar:
            assert (await inspected(sidecar, str(folder)))["rank"] == 8
            assert (await inspected(sidecar, "/elsewhere/sql"))["rank"] is None

    run(story())
