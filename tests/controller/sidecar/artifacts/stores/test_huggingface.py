"""The Hugging Face Hub: a small server that answers the hub's real paths.

Like the hub it sends large files to another host (here: another port), which must not see the token.
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import pytest
from huggingface_hub import HfApi

from tests.controller.sidecar.worlds import WebServer, a_sidecar, an_adapter, code, run, web_server

MODEL = "adapter_model.safetensors"
MAIN, OLD = "a" * 40, "b" * 40
TOKEN = "hf_a_token_for_tests"


class Hub:
    """Repositories with revisions: files are at the hub, large ones behind a redirect at `storage`."""

    def __init__(self, hub: WebServer, storage: WebServer) -> None:
        self.hub = hub
        self.storage = storage

    def add(self, repository: str, revisions: dict[str, str], commit: str, files: dict[str, bytes]) -> None:
        siblings = []
        for name, content in files.items():
            sibling: dict[str, object] = {"rfilename": name, "size": len(content), "blobId": "0" * 40}
            path = f"/{repository}/resolve/{commit}/{name}"
            self.hub.files[path] = content
            if name.endswith(".safetensors"):
                digest = sha256(content).hexdigest()
                sibling["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 134}
                self.hub.redirects[path] = f"{self.storage.url}/lfs/{digest}?X-Amz-Signature=signed"
                self.storage.files[f"/lfs/{digest}"] = content
            siblings.append(sibling)
        info = {"id": repository, "sha": commit, "siblings": siblings, "tags": [], "private": True, "gated": False}
        names = [name for name, target in revisions.items() if target == commit]
        for name in (*names, commit):
            self.hub.files[f"/api/models/{repository}/revision/{name}"] = json.dumps(info).encode()
        if "main" in names:
            self.hub.files[f"/api/models/{repository}"] = json.dumps(info).encode()


@pytest.fixture
def hub() -> Iterator[Hub]:
    with web_server() as server, web_server() as storage:
        hub = Hub(server, storage)
        revisions = {"main": MAIN, "v1": OLD, "refs%2Fpr%2F1": OLD}
        extra = {"README.md": b"# sql", ".gitattributes": b"", "training_args.bin": b"x", "checkpoint-5/a.json": b"{}"}
        hub.add("acme/sql", revisions, MAIN, {**an_adapter(), **extra})
        hub.add("acme/sql", revisions, OLD, an_adapter(fill=b"o"))
        nested = {f"adapters/de/{name}": content for name, content in an_adapter(fill=b"d").items()}
        hub.add("acme/many", {"main": MAIN}, MAIN, nested)
        yield hub


@pytest.mark.parametrize(
    ("url", "fill"),
    [
        ("huggingface://acme/sql", b"w"),
        ("hf://acme/sql", b"w"),
        ("hf://acme/sql@v1", b"o"),
        ("hf://acme/sql@refs%2Fpr%2F1", b"o"),
        (f"hf://acme/sql@{OLD}", b"o"),
        ("hf://acme/many/adapters/de", b"d"),
    ],
)
def test_a_repository_is_loaded_at_its_revision(hub: Hub, tmp_path: Path, url: str, fill: bytes) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path, hub=hub.hub.url) as sidecar:
            loaded = await sidecar.load("sql", url)
            assert loaded.status_code == 200, loaded.text
            folder = Path(loaded.json()["local_path"])
            assert (folder / MODEL).read_bytes() == an_adapter(fill=fill)[MODEL]
            kept = [path.rpartition("/")[2] for path in sidecar.files() if not path.startswith(".")]
            assert kept == [".artifact.json", *sorted(an_adapter())]

    run(story())


@pytest.mark.parametrize("revision", ["", "v1", "refs/pr/1"])
def test_the_hub_is_asked_as_its_own_client_asks(hub: Hub, tmp_path: Path, revision: str) -> None:
    api = HfApi(endpoint=hub.hub.url, token=TOKEN)
    info = api.model_info("acme/sql", revision=revision or None, files_metadata=True)
    hub_saw = [hub.hub.requests.pop() for _ in hub.hub.requests.copy()]

    async def story() -> None:
        async with a_sidecar(tmp_path, hub=hub.hub.url) as sidecar:
            url = f"hf://acme/sql@{quote(revision, safe='')}" if revision else "hf://acme/sql"
            assert (await sidecar.load("sql", url, {"huggingface_token": TOKEN})).status_code == 200

    run(story())
    ((method, path, headers),) = hub_saw
    ours = next(request for request in hub.hub.requests if request[1].startswith("/api/"))
    assert (ours[0], ours[1].lower()) == (method, path.lower())  # the one writes `True`, the other `true`
    assert ours[2]["authorization"] == headers["authorization"]
    assert any(f"/resolve/{info.sha}/" in request[1] for request in hub.hub.requests)


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"sha": 1}', b'{"sha": "a", "siblings": [{"size": "x"}]}', b"\xff"])
def test_an_answer_that_describes_no_repository_is_an_unavailable_store(hub: Hub, tmp_path: Path, body: bytes) -> None:
    hub.hub.files["/api/models/acme/sql"] = body

    async def story() -> None:
        async with a_sidecar(tmp_path, hub=hub.hub.url) as sidecar:
            assert code(await sidecar.load("sql", "hf://acme/sql")) == (503, "store_unavailable")

    run(story())


def as_a_mirror(hub: Hub, leaves_out: set[str], *, oid: bool = False) -> None:
    """Let the answers about repositories lack fields; with `oid`, checksums have the name of a folder's listing."""
    for path, body in list(hub.hub.files.items()):
        if path.startswith("/api/models/"):
            info = {key: value for key, value in json.loads(body).items() if key not in leaves_out}
            for sibling in info.get("siblings", ()):
                if oid and "lfs" in sibling:
                    sibling["lfs"]["oid"] = sibling["lfs"].pop("sha256")
                for key in leaves_out & sibling.keys():
                    del sibling[key]
            hub.hub.files[path] = json.dumps(info).encode()
    for path in [path for path in hub.hub.files if f"/resolve/{MAIN}/" in path]:
        by_branch = path.replace(MAIN, "main")
        hub.hub.files[by_branch] = hub.hub.files[path]
        if path in hub.hub.redirects:
            hub.hub.redirects[by_branch] = hub.hub.redirects[path]


LITTLE = {"sha", "size", "lfs"}


@pytest.mark.parametrize(
    ("leaves_out", "oid"),
    [({"size"}, False), ({"lfs"}, False), ({"size", "lfs"}, False), ({"sha"}, False), (LITTLE, False), (set(), True)],
    ids=["no sizes", "no checksums", "neither", "no commit", "names only", "oid"],
)
def test_a_mirror_that_states_less_than_the_hub_is_loaded_from(
    hub: Hub, tmp_path: Path, leaves_out: set[str], oid: bool
) -> None:
    as_a_mirror(hub, leaves_out, oid=oid)

    async def story() -> None:
        async with a_sidecar(tmp_path, hub=hub.hub.url) as sidecar:
            loaded = await sidecar.load("sql", "hf://acme/sql")
            assert loaded.status_code == 200, loaded.text
            folder = Path(loaded.json()["local_path"])
            assert {name: (folder / name).read_bytes() for name in an_adapter()} == an_adapter()

    run(story())


@pytest.mark.parametrize(("leaves_out", "oid"), [({"sha"}, False), ({"size", "sha"}, True)])
def test_a_checksum_of_a_mirror_counts(hub: Hub, tmp_path: Path, leaves_out: set[str], oid: bool) -> None:
    as_a_mirror(hub, leaves_out, oid=oid)
    hub.storage.files[f"/lfs/{sha256(an_adapter()[MODEL]).hexdigest()}"] = an_adapter(fill=b"x")[MODEL]

    async def story() -> None:
        async with a_sidecar(tmp_path, hub=hub.hub.url) as sidecar:
            assert code(await sidecar.load("sql", "hf://acme/sql")) == (422, "artifact_corrupt")

    run(story())


def test_a_branch_that_moves_on_a_mirror_without_commits_is_fetched_again(hub: Hub, tmp_path: Path) -> None:
    as_a_mirror(hub, LITTLE)
    weights = f"/lfs/{sha256(an_adapter()[MODEL]).hexdigest()}"

    async def story() -> None:
        async with a_sidecar(tmp_path, hub=hub.hub.url) as sidecar:
            await sidecar.load("one", "hf://acme/sql")
            await sidecar.load("two", "hf://acme/sql")
            assert hub.storage.fetches(weights) == 1
            hub.storage.files[weights] = an_adapter(fill=b"n")[MODEL]
            await sidecar.load("three", "hf://acme/sql")
            assert (Path(sidecar.engine.adapters["three"]) / MODEL).read_bytes() == an_adapter(fill=b"n")[MODEL]

    run(story())


def test_a_mirror_that_lists_no_files_is_refused_in_a_sentence(hub: Hub, tmp_path: Path) -> None:
    as_a_mirror(hub, {"siblings"})

    async def story() -> None:
        async with a_sidecar(tmp_path, hub=hub.hub.url) as sidecar:
            refused = await sidecar.load("sql", "hf://acme/sql")
            assert code(refused) == (503, "store_unavailable")
            assert "the hub's answer is not the description of a repository" in refused.text

    run(story())


def test_a_private_repository_takes_the_token_and_its_storage_does_not_see_it(hub: Hub, tmp_path: Path) -> None:
    hub.hub.needs["authorization"] = f"Bearer {TOKEN}"

    async def story() -> None:
        async with a_sidecar(tmp_path, hub=hub.hub.url) as sidecar:
            loaded = await sidecar.load("sql", "huggingface://acme/sql", {"huggingface_token": TOKEN})
            assert loaded.status_code == 200, loaded.text
            assert hub.storage.requests
            assert not any("authorization" in headers for _, _, headers in hub.storage.requests)
            missing = await sidecar.load("two", "huggingface://acme/sql")
            assert code(missing) == (401, "credentials_missing")
            wrong = await sidecar.load("two", "huggingface://acme/sql", {"huggingface_token": "hf_wrong"})
            assert code(wrong) == (403, "artifact_forbidden")

    run(story())


def test_what_is_not_there_is_not_found(hub: Hub, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path, hub=hub.hub.url) as sidecar:
            for url in ("hf://acme/none", "hf://acme/sql@no-such-branch", "hf://acme/sql/no/such/folder"):
                assert code(await sidecar.load("sql", url)) == (404, "artifact_not_found"), url

    run(story())


def test_the_hub_may_be_down_and_is_asked_again(hub: Hub, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path, hub=hub.hub.url) as sidecar:
            hub.hub.statuses["/api/models/acme/sql"] = 503
            assert code(await sidecar.load("sql", "hf://acme/sql")) == (503, "store_unavailable")
            hub.hub.statuses.clear()
            assert (await sidecar.load("sql", "hf://acme/sql")).status_code == 200
        async with a_sidecar(tmp_path / "other", hub="http://127.0.0.1:1") as sidecar:
            assert code(await sidecar.load("sql", "hf://acme/sql")) == (503, "store_unavailable")

    run(story())


def test_a_connection_cut_at_a_third_is_taken_up(hub: Hub, tmp_path: Path) -> None:
    files = an_adapter(1_000_000)
    hub.add("acme/big", {"main": MAIN}, MAIN, files)
    path = f"/lfs/{sha256(files[MODEL]).hexdigest()}"
    hub.storage.cuts[path] = [0.3]

    async def story() -> None:
        async with a_sidecar(tmp_path, hub=hub.hub.url) as sidecar:
            loaded = await sidecar.load("big", "hf://acme/big")
            assert loaded.status_code == 200, loaded.text
            assert hub.storage.sent < 1_100_000

    run(story())


def test_bytes_that_differ_from_the_hubs_checksum_are_corrupt(hub: Hub, tmp_path: Path) -> None:
    path = f"/lfs/{sha256(an_adapter()[MODEL]).hexdigest()}"
    hub.storage.files[path] = an_adapter(fill=b"x")[MODEL]

    async def story() -> None:
        async with a_sidecar(tmp_path, hub=hub.hub.url) as sidecar:
            assert code(await sidecar.load("sql", "hf://acme/sql")) == (422, "artifact_corrupt")
            assert (sidecar.files(), sidecar.engine.adapters) == ([], {})

    run(story())


def test_a_moved_branch_is_fetched_anew_and_an_unmoved_one_is_not(hub: Hub, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path, hub=hub.hub.url) as sidecar:
            await sidecar.load("one", "hf://acme/sql")
            await sidecar.load("two", "hf://acme/sql")
            assert sidecar.engine.adapters["one"] == sidecar.engine.adapters["two"]
            hub.add("acme/sql", {"main": "c" * 40}, "c" * 40, an_adapter(fill=b"n"))
            await sidecar.load("three", "hf://acme/sql")
            assert (Path(sidecar.engine.adapters["three"]) / MODEL).read_bytes() == an_adapter(fill=b"n")[MODEL]

    run(story())
