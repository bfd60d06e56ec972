"""The sidecar on various engines: SGLang, releases of vLLM that differ in unloading, full disks."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from controller.engine.flavors import SGLANG
from tests.controller.sidecar.worlds import WebServer, a_fake_engine, a_sidecar, an_adapter, code, run, web_server


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as server:
        for name in ("a", "b", "c"):
            server.put(f"/{name}", an_adapter())
        yield server


class SGLang:
    """Responds as SGLang does: other paths, and the result in the body."""

    def __init__(self) -> None:
        self.loaded: dict[str, str] = {}
        self.refusal = ""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            base = {"id": "base", "root": "base", "parent": None}
            return httpx.Response(
                200, json={"data": [base, *({"id": n, "root": r, "parent": "base"} for n, r in self.loaded.items())]}
            )
        body = json.loads(request.content)
        name = body["lora_name"]
        if request.url.path == "/load_lora_adapter" and not self.refusal and name not in self.loaded:
            self.loaded[name] = body["lora_path"]
        elif request.url.path == "/unload_lora_adapter" and name in self.loaded:
            del self.loaded[name]
        else:
            message = self.refusal or f"LoRA adapter {name} is in another state"
            return httpx.Response(
                400, json={"success": False, "error_message": message, "loaded_adapters": self.loaded}
            )
        return httpx.Response(200, json={"success": True, "loaded_adapters": self.loaded})


def test_sglang_is_called_by_its_own_api(web: WebServer, tmp_path: Path) -> None:
    engine = SGLang()

    async def story() -> None:
        async with a_sidecar(tmp_path, to_engine=httpx.MockTransport(engine), dialect=SGLANG) as sidecar:
            loaded = await sidecar.load("a", f"{web.url}/a/")
            assert engine.loaded == {"a": loaded.json()["local_path"]}
            assert (await sidecar.load("a", f"{web.url}/a/")).status_code == 200
            engine.refusal = "rank 64 is too large"
            refused = await sidecar.load("b", f"{web.url}/b/")
            assert code(refused) == (400, "engine_refused")
            assert refused.json()["error"]["message"] == "rank 64 is too large"
            engine.refusal = ""
            assert (await sidecar.unload("a")).status_code == 200
            assert (await sidecar.unload("a")).status_code == 200
            assert engine.loaded == {}

    run(story())


@pytest.mark.parametrize("version", ["0.27.0", "0.28.0"])
def test_an_adapter_is_unloaded_from_every_release(web: WebServer, tmp_path: Path, version: str) -> None:
    """From 0.28 on, an engine that has evicted the weights refuses to unload the name."""

    async def story() -> None:
        async with a_sidecar(tmp_path, a_fake_engine(version=version, max_cpu_loras=1)) as sidecar:
            await sidecar.load("a", f"{web.url}/a/")
            await sidecar.load("b", f"{web.url}/b/")  # pushes out the weights of a
            assert (await sidecar.unload("a")).status_code == 200
            assert list(sidecar.engine.adapters) == ["b"]

    run(story())


def test_an_unload_that_the_engine_refuses_fails_and_keeps_the_files(web: WebServer, tmp_path: Path) -> None:
    engine = SGLang()

    async def story() -> None:
        async with a_sidecar(tmp_path, to_engine=httpx.MockTransport(engine), dialect=SGLANG) as sidecar:
            loaded = await sidecar.load("a", f"{web.url}/a/")
            keep = dict(engine.loaded)
            engine.loaded = _Stubborn(keep)
            assert code(await sidecar.unload("a")) == (400, "engine_refused")
            assert (
                f"{loaded.json()['local_path']}/adapter_config.json".removeprefix(f"{sidecar.root}/") in sidecar.files()
            )

    run(story())


class _Stubborn(dict[str, str]):
    """Lists adapters that it cannot unload."""

    def __contains__(self, name: object) -> bool:
        return False


def test_a_disk_that_is_nearly_full_gets_no_downloads(web: WebServer, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path, reserve=1 << 60) as sidecar:
            answer = await sidecar.load("a", f"{web.url}/a/")
            assert code(answer) == (507, "disk_full")
            assert answer.json()["error"]["retriable"] is True
            assert sidecar.files() == []

    run(story())


def test_a_disk_that_fills_up_during_a_download_is_reported_as_full(
    web: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            monkeypatch.setattr(os, "pwrite", full)
            assert code(await sidecar.load("a", f"{web.url}/a/")) == (507, "disk_full")
            assert (sidecar.files(), sidecar.engine.adapters) == ([], {})

    run(story())
