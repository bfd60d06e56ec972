"""Adapters in local folders and in a catalogue, and their errors."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import save_file

from fake_vllm.cli.artifacts import ArtifactCatalogue, ArtifactResolver
from fake_vllm.cli.profile import ProfileError
from fake_vllm.engine.lora import Artifact
from fake_vllm.peft.folder import AdapterCheck
from fake_vllm.peft.rules import LATEST
from tests.fake_vllm.processes import answers, running

MODEL = "Qwen/Qwen2.5-1.5B-Instruct"
CHECK = AdapterCheck(None, 64, LATEST)
CALL = "Call to add_lora method failed: "
LAYER = "base_model.model.model.layers.0.self_attn.{module}.lora_{side}.weight"


def an_adapter(folder: Path, *, modules: tuple[str, ...] = ("q_proj",), weights: bool = True, **config: Any) -> Path:
    """Write a folder as `peft` does."""
    said = {
        "peft_type": "LORA",
        "r": 8,
        "lora_alpha": 16,
        "target_modules": [*modules],
        "base_model_name_or_path": MODEL,
        **config,
    }
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({key: v for key, v in said.items() if v is not ...}))
    if weights:
        zeros = np.zeros((8, 16), np.float16)
        tensors = {LAYER.format(module=module, side=side): zeros for module in modules for side in "AB"}
        save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def found(folder: Path, **limits: Any) -> Artifact | None:
    return ArtifactResolver(replace(CHECK, **limits), ArtifactCatalogue()).find(str(folder))


def broken(folder: Path) -> str | None:
    artifact = found(folder)
    assert artifact is not None
    return artifact.broken


def test_a_whole_adapter_is_good_and_has_its_rank_and_size(tmp_path: Path) -> None:
    folder = an_adapter(tmp_path / "sql", modules=("q_proj", "v_proj", "down_proj"), r=32)
    artifact = found(folder)
    assert artifact is not None
    assert (artifact.rank, artifact.broken) == (32, None)
    assert artifact.size == (folder / "adapter_model.safetensors").stat().st_size


def test_where_there_is_no_configuration_there_is_no_adapter(tmp_path: Path) -> None:
    assert found(tmp_path) is None
    assert found(tmp_path / "nowhere") is None


def test_the_adapters_base_model_is_not_read(tmp_path: Path) -> None:
    assert broken(an_adapter(tmp_path / "sql", base_model_name_or_path="meta-llama/Llama-3.1-8B")) is None


def test_ranks_above_the_servers_limit_are_refused(tmp_path: Path) -> None:
    artifact = found(an_adapter(tmp_path / "sql", r=32), max_rank=16)
    assert artifact is not None
    assert artifact.broken == "LoRA rank 32 is greater than max_lora_rank 16."


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"r"', "\udcff"])
def test_a_broken_configuration_breaks_the_adapter_and_nothing_else(text: str, tmp_path: Path) -> None:
    folder = an_adapter(tmp_path / "sql")
    (folder / "adapter_config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert broken(folder)


def test_a_catalogue_says_what_there_is_and_a_folder_wins_over_it(tmp_path: Path) -> None:
    folder = an_adapter(tmp_path / "here", r=16)
    file = tmp_path / "catalogue.yaml"
    file.write_text(
        "acme/sql: {rank: 16, size: 80MiB, fetch: 3s}\n"
        "acme/plain:\n"
        "acme/dora: {config: {use_dora: true}}\n"
        "acme/gone: {missing: true}\n"
        "acme/bad: {broken: bad header}\n"
        f"{folder}: {{missing: true}}\n"
    )
    adapters = ArtifactResolver(CHECK, ArtifactCatalogue.read(str(file)))
    assert adapters.find("acme/sql") == Artifact(rank=16, size=80 << 20)
    assert adapters.find("acme/plain") == Artifact()
    dora, gone, bad, here = (adapters.find(name) for name in ("acme/dora", "acme/gone", "acme/bad", str(folder)))
    assert dora is not None
    assert dora.config is not None
    assert (dora.config["r"], dora.config["use_dora"]) == (8, True)
    assert gone is not None
    assert gone.missing
    assert bad == Artifact(broken="bad header")
    assert here is not None
    assert here.rank == 16
    assert adapters.find("acme/unheard-of") is None
    assert [adapters.fetch(name) for name in ("acme/sql", "acme/sql", "acme/plain", "x")] == [3.0, 0.0, 0.0, 0.0]


def test_without_a_catalogue_every_repository_is_valid() -> None:
    assert ArtifactResolver(CHECK).find("acme/anything") == Artifact()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[]", "must be a mapping from repository"),
        ("acme/sql: 3", "acme/sql: must be a mapping"),
        ("acme/sql: {rnak: 3}", "acme/sql.rnak: unknown key; allowed: rank, size"),
        ("acme/sql: {rank: 0}", "acme/sql.rank: 0 is not a whole number above 0"),
        ("acme/sql: {rank: true}", "is not a whole number"),
        ("acme/sql: {size: large}", '"large" is not a size'),
        ("acme/sql: {fetch: soon}", "acme/sql: "),
        ("acme/sql: {base: acme/other}", "acme/sql.base: vLLM does not read an adapter's base model"),
        ("acme/sql: {broken: 3}", "acme/sql.broken: 3 is not text"),
        ("acme/sql: {config: x}", "acme/sql.config: 'x' is not a mapping"),
        ("acme/sql: {missing: 1}", "acme/sql.missing: 1 is neither true nor false"),
        ("acme/sql: {", "not YAML"),
    ],
)
def test_a_catalogue_that_cannot_be_used_says_where_and_why(text: str, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "catalogue.yaml"
    file.write_text(text)
    with pytest.raises(ProfileError) as caught:
        ArtifactCatalogue.read(str(file))
    assert complaint in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_process_looks_at_real_files_and_refuses_them_in_the_engines_words(tmp_path: Path) -> None:
    good, high = an_adapter(tmp_path / "good"), an_adapter(tmp_path / "high", r=64)
    torn = an_adapter(tmp_path / "torn")
    (torn / "adapter_model.safetensors").write_bytes(b"\x00" * 4)
    empty = tmp_path / "empty"
    empty.mkdir()

    async def story() -> None:
        async with running("--max-lora-rank", "16") as (port, _), httpx.AsyncClient() as client:
            client.base_url = httpx.URL(f"http://127.0.0.1:{port}")
            await answers(client, "/health")

            async def load(path: Path) -> tuple[int, str]:
                said = {"lora_name": path.name, "lora_path": str(path)}
                response = await client.post("/v1/load_lora_adapter", json=said)
                return response.status_code, response.text

            assert await load(good) == (200, "Success: LoRA adapter 'good' added successfully.")
            assert await load(high) == (500, refusal(f"{CALL}LoRA rank 64 is greater than max_lora_rank 16."))
            assert await load(torn) == (500, refusal(f"{CALL}Error while deserializing header: header too small"))
            status, said = await load(empty)
            assert (status, "No adapter found for <path>" in said) == (404, True)
            listed = [model["id"] for model in (await client.get("/v1/models")).json()["data"]]
            assert listed == ["base", "good"]

    asyncio.run(story())


def test_a_load_has_a_part_for_the_network_one_for_the_disk_and_needs_memory(tmp_path: Path) -> None:
    catalogue, times = tmp_path / "catalogue.yaml", tmp_path / "times.yaml"
    catalogue.write_text("acme/small: {size: 40MB}\nacme/large: {size: 400MB}\nacme/far: {size: 40MB, fetch: 300ms}\n")
    times.write_text("load: 10ms\nlora_memory: 460MB\ntiming: {disk: 1GB/s}\n")

    async def story() -> None:
        flags = ("--catalogue", str(catalogue), "--parameters", str(times), "--load-latency", "10ms")
        async with running(*flags) as (port, _), httpx.AsyncClient() as client:
            loop = asyncio.get_running_loop()

            async def load(name: str) -> tuple[float, httpx.Response]:
                began = loop.time()
                said = {"lora_name": name, "lora_path": f"acme/{name}"}
                response = await client.post(f"http://127.0.0.1:{port}/v1/load_lora_adapter", json=said)
                return loop.time() - began, response

            client.timeout = httpx.Timeout(10)
            large, small, far = [await load(name) for name in ("large", "small", "far")]
            assert large[0] >= 0.41
            assert small[0] >= 0.05
            assert far[0] >= 0.35
            assert (large[1].status_code, small[1].status_code) == (200, 200)
            assert far[1].text == refusal(f"{CALL}CUDA out of memory. Tried to allocate 38.15 MiB.")

    asyncio.run(story())


def refusal(message: str) -> str:
    said = {"message": message, "type": "InternalServerError", "param": None, "code": 500}
    return json.dumps({"error": said}, separators=(",", ":"))
