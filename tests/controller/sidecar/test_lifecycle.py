"""Loads and unloads by a client, with artifacts from a web server and a fake engine."""

import asyncio
import json
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest

from tests.controller.sidecar.worlds import (
    WebServer,
    a_fake_engine,
    a_sidecar,
    an_adapter,
    code,
    run,
    web_server,
)

MODEL = "adapter_model.safetensors"


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as server:
        server.put("/sql", an_adapter())
        yield server


def test_a_load_fetches_all_files_and_then_loads_on_the_engine(web: WebServer, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            loaded = await sidecar.load("sql", f"{web.url}/sql/")
            assert loaded.status_code == 200, loaded.text
            path = Path(loaded.json()["local_path"])
            assert sidecar.engine.adapters == {"sql": str(path)}
            for name, content in an_adapter().items():
                assert (path / name).read_bytes() == content
            assert sidecar.rubbish() == []

    run(story())


def test_a_repeated_load_fetches_nothing(web: WebServer, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            first = await sidecar.load("sql", f"{web.url}/sql/")
            again = await sidecar.load("sql", f"{web.url}/sql/")
            assert again.status_code == 200
            assert again.json()["local_path"] == first.json()["local_path"]
            assert web.fetches(f"/sql/{MODEL}") == 1

    run(story())


def test_a_hundred_loads_of_twenty_adapters_make_twenty_fetches(web: WebServer, tmp_path: Path) -> None:
    for number in range(20):
        web.put(f"/many-{number}", an_adapter(2000 + number))

    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            loads = [sidecar.load(f"a-{n % 20}-{n // 40}", f"{web.url}/many-{n % 20}/") for n in range(100)]
            answers = await asyncio.gather(*loads)
            assert {answer.status_code for answer in answers} == {200}
            assert [web.fetches(f"/many-{number}/{MODEL}") for number in range(20)] == [1] * 20
            assert len(sidecar.engine.adapters) == 60

    run(story())


def test_another_url_under_the_same_name_never_meets_the_old_files(web: WebServer, tmp_path: Path) -> None:
    web.put("/sql2", an_adapter(fill=b"2"))

    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            await sidecar.load("sql", f"{web.url}/sql/")
            assert code(await sidecar.load("sql", f"{web.url}/sql2/")) == (409, "name_taken")
            await sidecar.unload("sql", cleanup_local=False)
            loaded = await sidecar.load("sql", f"{web.url}/sql2/")
            assert (Path(loaded.json()["local_path"]) / MODEL).read_bytes() == an_adapter(fill=b"2")[MODEL]

    run(story())


def test_an_artifact_that_changed_in_its_store_is_fetched_again(web: WebServer, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            await sidecar.load("sql", f"{web.url}/sql/")
            web.put("/sql", an_adapter(fill=b"n"))
            other = await sidecar.load("sql-new", f"{web.url}/sql/")
            assert (Path(other.json()["local_path"]) / MODEL).read_bytes() == an_adapter(fill=b"n")[MODEL]
            old = Path(sidecar.engine.adapters["sql"])
            assert (old / MODEL).read_bytes() == an_adapter()[MODEL]

    run(story())


def test_an_unload_leaves_the_disk_clean(web: WebServer, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            await sidecar.load("sql", f"{web.url}/sql/")
            assert (await sidecar.unload("sql")).status_code == 200
            assert sidecar.engine.adapters == {}
            assert sidecar.files() == []
            assert (await sidecar.unload("sql")).status_code == 200

    run(story())


def test_files_stay_while_another_name_uses_them_or_on_request(web: WebServer, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            await sidecar.load("one", f"{web.url}/sql/")
            await sidecar.load("two", f"{web.url}/sql/")
            await sidecar.unload("one")
            assert (Path(sidecar.engine.adapters["two"]) / MODEL).is_file()
            await sidecar.unload("two", cleanup_local=False)
            assert any(path.endswith(MODEL) for path in sidecar.files())
            assert web.fetches(f"/sql/{MODEL}") == 1

    run(story())


def test_files_are_deleted_with_the_adapter_even_if_the_engine_lost_it_before(web: WebServer, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            await sidecar.load("sql", f"{web.url}/sql/")
        async with a_sidecar(tmp_path, a_fake_engine()) as restarted:
            assert (await restarted.unload("sql")).status_code == 200
            assert restarted.files() == []

    run(story())


def test_a_restarted_engine_gets_its_adapters_from_the_cache(web: WebServer, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            await sidecar.load("sql", f"{web.url}/sql/")
        async with a_sidecar(tmp_path, a_fake_engine()) as restarted:
            assert (await restarted.load("sql", f"{web.url}/sql/")).status_code == 200
            assert web.fetches(f"/sql/{MODEL}") == 1
            web.statuses["/sql/adapter_config.json"] = 503
            await restarted.unload("sql", cleanup_local=False)
            healed = await restarted.load("sql", f"{web.url}/sql/")
            assert healed.status_code == 200, "what is here serves while the store is down"

    run(story())


def test_a_load_continues_after_its_client_has_gone(web: WebServer, tmp_path: Path) -> None:
    async def story() -> None:
        web.wait.clear()
        async with a_sidecar(tmp_path) as sidecar:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await sidecar.load("sql", f"{web.url}/sql/")
            under_way = (await sidecar.client.get("/v1/downloads")).json()["downloads"]
            assert [(d["state"], d["artifact"]) for d in under_way] == [("fetching", f"{web.url}/sql/")]
            web.wait.set()
            assert (await sidecar.load("sql", f"{web.url}/sql/")).status_code == 200
            assert web.fetches(f"/sql/{MODEL}") == 1

    run(story())


def test_an_unload_cancels_a_load_in_flight(web: WebServer, tmp_path: Path) -> None:
    async def story() -> None:
        web.wait.clear()
        async with a_sidecar(tmp_path) as sidecar:
            loading = asyncio.create_task(sidecar.load("sql", f"{web.url}/sql/"))
            await asyncio.sleep(0.3)
            assert (await sidecar.unload("sql")).status_code == 200
            assert code(await loading) == (409, "superseded")
            web.wait.set()
            await asyncio.sleep(0.1)
            assert sidecar.files() == []

    run(story())


def test_a_broken_download_is_resumed(web: WebServer, tmp_path: Path) -> None:
    web.put("/big", an_adapter(1_000_000))
    web.cuts[f"/big/{MODEL}"] = [0.3]

    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            loaded = await sidecar.load("big", f"{web.url}/big/")
            assert loaded.status_code == 200, loaded.text
            assert (Path(loaded.json()["local_path"]) / MODEL).read_bytes() == an_adapter(1_000_000)[MODEL]
            assert web.sent < 1_100_000

    run(story())


def test_a_server_without_ranges_is_supported(web: WebServer, tmp_path: Path) -> None:
    web.put("/big", an_adapter(1_000_000))
    web.cuts[f"/big/{MODEL}"] = [0.3]
    web.ranges = False

    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            loaded = await sidecar.load("big", f"{web.url}/big/")
            assert loaded.status_code == 200, loaded.text
            assert (Path(loaded.json()["local_path"]) / MODEL).read_bytes() == an_adapter(1_000_000)[MODEL]

    run(story())


def test_a_file_that_always_ends_early_is_corrupt_and_leaves_nothing(web: WebServer, tmp_path: Path) -> None:
    web.cuts[f"/sql/{MODEL}"] = [0.5] + [0.0] * 20

    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            assert code(await sidecar.load("sql", f"{web.url}/sql/")) == (422, "artifact_corrupt")
            assert (sidecar.files(), sidecar.engine.adapters) == ([], {})

    run(story())


def test_a_download_resumes_after_an_outage_of_the_store(web: WebServer, tmp_path: Path) -> None:
    web.put("/big", an_adapter(1_000_000))
    web.cuts[f"/big/{MODEL}"] = [0.5]
    path = f"/big/{MODEL}"

    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            web.wait.clear()
            web.body_requested.clear()
            loading = asyncio.create_task(sidecar.load("big", f"{web.url}/big/"))
            await asyncio.to_thread(web.body_requested.wait, 10)
            web.statuses[path] = 503  # from the next request on
            web.wait.set()
            assert code(await loading) == (503, "store_unavailable")
            del web.statuses[path]
            assert (await sidecar.load("big", f"{web.url}/big/")).status_code == 200
            assert web.sent < 1_100_000
            assert sidecar.rubbish() == []

    run(story())


def test_lists_of_files_and_archives_are_adapters_too(web: WebServer, tmp_path: Path) -> None:
    files = an_adapter()
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"my-adapter/{name}")
            info.size = len(content)
            archive.addfile(info, BytesIO(content))
    web.files["/packed.tar.gz"] = packed.getvalue()
    listed = {"files": [{"path": name, "size": len(content)} for name, content in files.items()]}
    web.files["/sql/files.json"] = json.dumps(listed).encode()
    web.files["/sql/files.txt"] = "\n".join(files).encode()

    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            for number, path in enumerate(("/packed.tar.gz", "/sql/files.json", "/sql/files.txt")):
                loaded = await sidecar.load(f"a-{number}", web.url + path)
                assert loaded.status_code == 200, loaded.text
                assert (Path(loaded.json()["local_path"]) / MODEL).read_bytes() == files[MODEL]
            assert sidecar.rubbish() == []

    run(story())


def test_an_absolute_path_is_loaded_where_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "sql"
    folder.mkdir(parents=True)
    for name, content in an_adapter().items():
        (folder / name).write_bytes(content)

    async def story() -> None:
        async with a_sidecar(tmp_path / "cache") as sidecar:
            assert (await sidecar.load("sql", str(folder))).status_code == 200
            assert sidecar.engine.adapters == {"sql": str(folder)}
            assert (await sidecar.load("sql", str(folder))).status_code == 200
            await sidecar.unload("sql")
            assert (folder / MODEL).is_file(), "other people's files are not cleaned up"
            assert code(await sidecar.load("own", f"{sidecar.root}/.incoming")) == (400, "invalid_url")

    run(story())


def test_the_least_recently_used_artifact_is_evicted_but_never_a_loaded_one(web: WebServer, tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        web.put(f"/{name}", an_adapter(10_000))

    async def story() -> None:
        async with a_sidecar(tmp_path, budget=25_000) as sidecar:
            await sidecar.load("a", f"{web.url}/a/")
            await sidecar.load("b", f"{web.url}/b/")
            assert code(await sidecar.load("c", f"{web.url}/c/")) == (507, "disk_full")
            await sidecar.unload("b", cleanup_local=False)
            assert (await sidecar.load("c", f"{web.url}/c/")).status_code == 200
            assert (Path(sidecar.engine.adapters["a"]) / MODEL).is_file()
            await sidecar.unload("c", cleanup_local=False)
            assert (await sidecar.load("b", f"{web.url}/b/")).status_code == 200
            assert web.fetches(f"/b/{MODEL}") == 2, "b had made room for c"
            web.put("/e", an_adapter(30_000))
            assert code(await sidecar.load("e", f"{web.url}/e/")) == (413, "artifact_too_large")

    run(story())


def test_files_damaged_on_the_disk_are_fetched_again(web: WebServer, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            loaded = await sidecar.load("sql", f"{web.url}/sql/")
            await sidecar.unload("sql", cleanup_local=False)
            (Path(loaded.json()["local_path"]) / MODEL).write_bytes(b"short")
            assert (await sidecar.load("sql", f"{web.url}/sql/")).status_code == 200
            assert web.fetches(f"/sql/{MODEL}") == 2

    run(story())


def test_the_engines_key_and_refusals_are_passed_on(web: WebServer, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path, a_fake_engine(api_keys=("sk-engine",))) as sidecar:
            refused = await sidecar.load("sql", f"{web.url}/sql/", key="sk-wrong")
            assert code(refused) == (401, "engine_refused")
            assert (await sidecar.load("sql", f"{web.url}/sql/", key="sk-engine")).status_code == 200
            listed = await sidecar.client.get("/v1/models", headers={"authorization": "Bearer sk-engine"})
            assert "sql" in [model["id"] for model in listed.json()["data"]]
            assert (await sidecar.client.get("/v1/models")).status_code == 401

    run(story())


def test_the_sidecars_own_key_is_for_requests_that_bring_none(web: WebServer, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path, a_fake_engine(api_keys=("sk-engine",)), engine_key="sk-engine") as sidecar:
            assert (await sidecar.load("sql", f"{web.url}/sql/")).status_code == 200
            assert "sql" in [model["id"] for model in (await sidecar.client.get("/v1/models")).json()["data"]]
            assert code(await sidecar.load("other", f"{web.url}/sql/", key="sk-wrong")) == (401, "engine_refused")
            assert (await sidecar.unload("sql")).status_code == 200
            assert "sk-engine" not in sidecar.log.getvalue()

    run(story())


def test_a_dead_engine_is_retriable_and_not_ready(web: WebServer, tmp_path: Path) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    async def story() -> None:
        async with a_sidecar(tmp_path, to_engine=httpx.MockTransport(refuse)) as sidecar:
            answer = await sidecar.load("sql", f"{web.url}/sql/")
            assert code(answer) == (503, "engine_unavailable")
            assert answer.json()["error"]["retriable"] is True
            assert (await sidecar.client.get("/ready")).status_code == 503
            assert (await sidecar.client.get("/healthz")).status_code == 200
        async with a_sidecar(tmp_path) as sidecar:
            assert (await sidecar.client.get("/ready")).status_code == 200

    run(story())
