"""Invalid and hostile requests get a clear 4xx with a code, and leave nothing on the disk."""

import gzip
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.sidecar.artifacts.archive import safe_join, unpack
from controller.sidecar.artifacts.egress_guard import EgressGuard, networks
from controller.sidecar.artifacts.url import parse
from controller.sidecar.artifacts.validation import check_safetensors
from controller.sidecar.errors import Code, SidecarError
from tests.controller.sidecar.worlds import (
    LOAD,
    UNLOAD,
    WebServer,
    a_sidecar,
    an_adapter,
    code,
    run,
    safetensors,
    web_server,
)

MODEL = "adapter_model.safetensors"
SECRET = "s3cr3t-value-of-the-test"


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as server:
        server.put("/sql", an_adapter())
        yield server


@contextmanager
def refused_by(*codes: Code) -> Iterator[None]:
    """Check that the block succeeds or raises one of these codes and nothing else."""
    try:
        yield
    except SidecarError as error:
        if error.code not in codes:
            raise


BAD_BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"load"',
    b"\xff\xfe",
    b"[" * 100_000,
    b"{}",
    b'{"lora_name": "sql"}',
    b'{"lora_name": 1, "artifact_url": "hf://a/b"}',
    b'{"lora_name": null, "artifact_url": "hf://a/b"}',
    b'{"lora_name": "sql", "artifact_url": ["hf://a/b"]}',
    b'{"lora_name": "sql", "artifact_url": "hf://a/b", "local_dir": "/etc"}',
    b'{"lora_name": "sql", "artifact_url": "hf://a/b", "credentials": "%s"}' % SECRET.encode(),
    b'{"lora_name": "sql", "artifact_url": "hf://a/b", "credentials": {"token": ["%s"]}}' % SECRET.encode(),
    b'{"lora_name": "sql", "artifact_url": "hf://a/b", "credentials": ["%s"]}' % SECRET.encode(),
    b'{"lora_name": "sql", "artifact_url": "hf://a/b", "additional_config": 5}',
]


@pytest.mark.parametrize("body", BAD_BODIES, ids=range(len(BAD_BODIES)))
def test_an_invalid_request_is_refused_without_being_quoted(tmp_path: Path, body: bytes) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            answer = await sidecar.client.post(LOAD, content=body)
            assert code(answer) == (400, "invalid_request")
            assert SECRET not in answer.text + sidecar.log.getvalue()
            assert sidecar.files() == []

    run(story())


BAD_UNLOADS = [
    b"",
    b"{}",
    b'{"lora_name": ["sql"]}',
    b'{"lora_name": "sql", "cleanup_local": "yes"}',
    b'{"lora_name": "sql", "path": "/etc"}',
]


@pytest.mark.parametrize("body", BAD_UNLOADS, ids=range(len(BAD_UNLOADS)))
def test_an_invalid_unload_is_refused_and_changes_nothing(web: WebServer, tmp_path: Path, body: bytes) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            assert (await sidecar.load("sql", f"{web.url}/sql/")).status_code == 200
            before = sidecar.files()
            assert code(await sidecar.client.post(UNLOAD, content=body)) == (400, "invalid_request")
            assert (sidecar.files(), list(sidecar.engine.adapters)) == (before, ["sql"])

    run(story())


def test_a_request_of_ten_megabytes_is_not_read_to_its_end(tmp_path: Path) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            answer = await sidecar.client.post(LOAD, content=b" " * 10_000_000)
            assert code(answer) == (413, "request_too_large")

    run(story())


BAD_NAMES = [
    "",
    ".",
    "..",
    "../sql",
    "a/b",
    "/etc",
    "a\0b",
    "a b",
    "-sql",
    ".names",
    "a\n",
    "ä",
    "a" * 10_000,
    "%2e%2e",
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=range(len(BAD_NAMES)))
def test_a_name_that_could_be_a_path_is_refused(web: WebServer, tmp_path: Path, name: str) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            assert code(await sidecar.load(name, f"{web.url}/sql/")) == (400, "invalid_name")
            assert code(await sidecar.client.post(UNLOAD, json={"lora_name": name})) == (400, "invalid_name")
            assert (sidecar.files(), web.requests) == ([], [])

    run(story())


BAD_URLS = [
    "",
    "sql",
    "ftp://host/sql",
    "file:///etc/passwd",
    "s3://",
    "s3://bucket",
    "s3://bucket/",
    "s3://../sql/",
    "s3://bucket/../other/",
    "s3://bucket/a/./b/",
    "s3://bucket/a?versionId=1",
    "s3://bu cket/a/",
    "s3://bucket/a\0b/",
    "gs://bucket/a/../b",
    "tos://b/..",
    "hf://acme",
    "hf://acme/sql@",
    "hf://acme/sql@../../main",
    "hf://acme/../sql",
    "hf://acme/sql?x=1",
    "hf://acme/sql/../../x",
    "http://",
    "http:///sql/",
    "http://user:pass@host/sql/",
    "http://host:99999/sql/",
    "http://[::1/sql/",
    "https://host/a/../b/",
    "https://host/a/%2e%2e/b/",
    "https://host\\@evil/sql/",
    "/models/../etc",
    "/models/a\nb",
    "hf://acme/" + "a" * 10_000,
    "https://host/" + "a" * 10_000,
]


@pytest.mark.parametrize("url", BAD_URLS, ids=range(len(BAD_URLS)))
def test_a_url_that_names_no_artifact_is_refused(tmp_path: Path, url: str) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            answer = await sidecar.load("sql", url)
            assert code(answer) == (400, "invalid_url"), answer.text
            assert len(answer.text) < 600
            assert sidecar.files() == []

    run(story())


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.text(alphabet="/.:@%?#hfs3~ab\\", max_size=40))
def test_the_parser_returns_an_artifact_or_refuses_the_text(text: str) -> None:
    for url in (text, f"s3://{text}", f"hf://{text}", f"http://{text}", f"/{text}"):
        with refused_by(Code.INVALID_URL):
            artifact = parse(url)
            assert ".." not in artifact.path.split("/")
            assert "\0" not in artifact.url


LOCAL_URLS = [
    "http://169.254.169.254/latest/meta-data/iam/",
    "http://[fd00:ec2::254]/latest/",
    "http://100.100.100.200/latest/",
    "http://127.0.0.1:8000/v1/",
    "http://127.1/sql/",
    "http://2130706433/sql/",
    "http://0x7f000001/sql/",
    "http://localhost/sql/",
    "http://[::1]/sql/",
    "http://[::ffff:127.0.0.1]/sql/",
    "http://[64:ff9b::7f00:1]/sql/",
    "http://0.0.0.0/sql/",
    "http://[::]/sql/",
    "http://224.0.0.1/sql/",
]


@pytest.mark.parametrize("url", LOCAL_URLS)
def test_the_pods_own_and_the_clouds_own_addresses_are_refused(tmp_path: Path, url: str) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path, allowed=()) as sidecar:
            assert code(await sidecar.load("sql", url)) == (400, "address_refused")
            endpoint = url.rpartition("/")[0].replace("/latest/meta-data/iam", "")
            keys = {"aws_access_key_id": "AKIA1", "aws_secret_access_key": SECRET, "endpoint": endpoint}
            answer = await sidecar.load("sql", "s3://bucket/sql/", keys)
            assert code(answer) == (400, "address_refused")
            answer = await sidecar.load("sql", "hf://acme/sql", {"huggingface_token": SECRET, "endpoint": endpoint})
            assert code(answer) == (400, "address_refused")
            assert SECRET not in answer.text + sidecar.log.getvalue()

    run(story())


def test_private_networks_are_allowed_and_a_flag_allows_more() -> None:
    assert EgressGuard().permits("10.1.2.3")
    assert EgressGuard().permits("192.168.1.1")
    assert EgressGuard().permits("2001:db8::1") is False or EgressGuard().permits("2606:4700::1")
    assert not EgressGuard().permits("127.0.0.1")
    assert EgressGuard(networks(["127.0.0.0/8"])).permits("127.0.0.1")
    assert not EgressGuard(networks(["127.0.0.0/8"])).permits("169.254.169.254")


def test_a_redirect_to_a_refused_address_is_refused_too(web: WebServer, tmp_path: Path) -> None:
    web.redirects["/sql/adapter_config.json"] = "http://169.254.169.254/latest/"

    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            assert code(await sidecar.load("sql", f"{web.url}/sql/")) == (400, "address_refused")

    run(story())


def test_endless_redirects_are_refused(web: WebServer, tmp_path: Path) -> None:
    web.redirects["/sql/adapter_config.json"] = f"{web.url}/sql/adapter_config.json"

    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            assert code(await sidecar.load("sql", f"{web.url}/sql/")) == (400, "invalid_url")
            assert len(web.requests) < 10

    run(story())


@pytest.mark.parametrize("target", ["ftp://host/x", "file:///etc/passwd", "http://user:pw@host/", "http://[bad"])
def test_redirects_lead_to_http_only(web: WebServer, tmp_path: Path, target: str) -> None:
    web.redirects["/sql/adapter_config.json"] = target

    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            assert code(await sidecar.load("sql", f"{web.url}/sql/")) == (400, "invalid_url")

    run(story())


def test_headers_go_only_to_their_host(web: WebServer, tmp_path: Path) -> None:
    secret = {"headers": json.dumps({"X-Api-Key": SECRET})}
    web.needs["X-Api-Key"] = SECRET

    async def story() -> None:
        with web_server() as other:
            other.put("/sql", an_adapter())
            async with a_sidecar(tmp_path) as sidecar:
                assert (await sidecar.load("sql", f"{web.url}/sql/", secret)).status_code == 200
                assert code(await sidecar.load("two", f"{web.url}/sql/")) == (401, "credentials_missing")
                wrong = {"headers": '{"X-Api-Key": "wrong"}'}
                assert code(await sidecar.load("two", f"{web.url}/sql/", wrong)) == (403, "artifact_forbidden")
                bound = {**secret, "host": "127.0.0.1:1"}
                assert code(await sidecar.load("two", f"{web.url}/sql/", bound)) == (401, "credentials_missing")
                for name in an_adapter():
                    web.redirects[f"/sql/{name}"] = f"{other.url}/sql/{name}"
                await sidecar.load("three", f"{web.url}/sql/", secret)
                assert other.requests
                assert not any("x-api-key" in headers for _, _, headers in other.requests)

    run(story())


BAD_SECRETS = [
    {"headers": "{"},
    {"headers": "[]"},
    {"headers": '{"A": 1}'},
    {"headers": '{"A B": "x"}'},
    {"headers": '{"A": "x\\r\\nB: y"}'},
    {"headers": '{"Host": "evil"}'},
    {"password": SECRET},
    {"headers": "[" * 100_000},
]


@pytest.mark.parametrize("secret", BAD_SECRETS, ids=range(len(BAD_SECRETS)))
def test_a_secret_with_wrong_keys_or_broken_json_is_named_as_such(
    web: WebServer, tmp_path: Path, secret: dict[str, str]
) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            answer = await sidecar.load("sql", f"{web.url}/sql/", secret)
            assert code(answer) == (400, "credentials_invalid")
            assert SECRET not in answer.text + sidecar.log.getvalue()
            assert web.requests == []

    run(story())


def a_safetensors(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def a_tensor(shape: list[int], start: int, end: int, dtype: str = "U8") -> bytes:
    return json.dumps({"a": {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}}).encode()


LYING_TENSORS = [
    b"",
    b"\0" * 7,
    a_safetensors(b"{}", length=1 << 60),
    a_safetensors(b"{}", length=100),
    a_safetensors(b"{"),
    a_safetensors(b"[]"),
    a_safetensors(b"[" * 100_000),
    a_safetensors(a_tensor([4], 0, 4), b"xx"),
    a_safetensors(a_tensor([4], 0, 4), b"xxxxxxxx"),
    a_safetensors(a_tensor([4], 4, 8), b"x" * 8),
    a_safetensors(a_tensor([-4], 0, 4), b"x" * 4),
    a_safetensors(a_tensor([4], 4, 0), b"x" * 4),
    a_safetensors(a_tensor([4], 0, 4, "F32"), b"x" * 4),
    a_safetensors(b'{"a": {"dtype": "U8"}}'),
    a_safetensors(b'{"a": 5}'),
    a_safetensors(b'{"a": {"dtype": [], "shape": [1], "data_offsets": [0, 1]}}', b"x"),
    safetensors(1000)[:-1],
]


@pytest.mark.parametrize("content", LYING_TENSORS, ids=range(len(LYING_TENSORS)))
def test_inconsistent_safetensors_never_reach_the_engine(web: WebServer, tmp_path: Path, content: bytes) -> None:
    web.files[f"/sql/{MODEL}"] = content

    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            assert code(await sidecar.load("sql", f"{web.url}/sql/")) == (422, "artifact_corrupt")
            assert (sidecar.files(), sidecar.engine.adapters) == ([], {})

    run(story())


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_break_the_check(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    path.write_bytes(content)
    with refused_by(Code.ARTIFACT_CORRUPT):
        check_safetensors(path)


def a_tar(names: dict[str, bytes], kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in {**an_adapter(), **names}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if name in names:
                info.type, info.linkname = kind, link
            archive.addfile(info, BytesIO(content))
    return packed.getvalue()


def a_zip(names: dict[str, bytes], mode: int = 0) -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**an_adapter(), **names}.items():
            info = zipfile.ZipInfo(name)
            if name in names:
                info.external_attr = mode << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def a_lying_zip() -> bytes:
    """Return an archive with a member of a megabyte that declares a hundred bytes."""
    content = a_zip({"more.json": b" " * 1_000_000})
    return content.replace(struct.pack("<I", 1_000_000), struct.pack("<I", 100))


def a_greedy_tar() -> bytes:
    """Return an archive with a header extension that declares a gigabyte."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 30
    return info.tobuf() + b"\0" * 4096


ARCHIVES: list[tuple[str, Callable[[], bytes], str]] = [
    ("up.tar", lambda: a_tar({"../up.json": b"{}"}), "artifact_unsafe"),
    ("absolute.tar", lambda: a_tar({"/etc/x.json": b"{}"}), "artifact_unsafe"),
    ("symlink.tar", lambda: a_tar({"x.json": b""}, tarfile.SYMTYPE, "/etc/passwd"), "artifact_unsafe"),
    ("hardlink.tar", lambda: a_tar({"x.json": b""}, tarfile.LNKTYPE, "adapter_config.json"), "artifact_unsafe"),
    ("device.tar", lambda: a_tar({"x.json": b""}, tarfile.CHRTYPE), "artifact_unsafe"),
    ("greedy.tar", a_greedy_tar, "artifact_corrupt"),
    ("greedy.tar.gz", lambda: gzip.compress(a_greedy_tar()), "artifact_corrupt"),
    ("bomb.tar.gz", lambda: gzip.compress(a_tar({"x.json": b" " * 30_000_000})), "artifact_too_large"),
    ("cut.tar.gz", lambda: gzip.compress(a_tar({}))[:-20], "artifact_corrupt"),
    ("cut.tar", lambda: a_tar({})[:1200], "artifact_corrupt"),
    ("crowd.tar", lambda: a_tar({f"{n}.json": b"" for n in range(1100)}), "artifact_too_large"),
    ("none.tar", lambda: b"hello", "artifact_corrupt"),
    ("empty.tar", lambda: b"", "artifact_corrupt"),
    ("up.zip", lambda: a_zip({"../up.json": b"{}"}), "artifact_unsafe"),
    ("absolute.zip", lambda: a_zip({"/etc/x.json": b"{}"}), "artifact_unsafe"),
    ("symlink.zip", lambda: a_zip({"x.json": b"/etc/passwd"}, 0o120777), "artifact_unsafe"),
    ("bomb.zip", lambda: a_zip({"x.json": b" " * 30_000_000}), "artifact_too_large"),
    ("lying.zip", a_lying_zip, "artifact_corrupt"),
    ("cut.zip", lambda: a_zip({})[:-200], "artifact_corrupt"),
    ("crowd.zip", lambda: a_zip({f"{n}.json": b"" for n in range(1100)}), "artifact_too_large"),
    ("other.zip", lambda: a_zip({})[:0] + a_other(), "artifact_corrupt"),
]


def a_other() -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("readme.txt", "no adapter in here")
    return packed.getvalue()


@pytest.mark.parametrize(("name", "make", "expected"), ARCHIVES, ids=[name for name, _, _ in ARCHIVES])
def test_hostile_archives_leave_nothing(
    web: WebServer, tmp_path: Path, name: str, make: Callable[[], bytes], expected: str
) -> None:
    web.files[f"/{name}"] = make()

    async def story() -> None:
        async with a_sidecar(tmp_path / "cache", largest=20_000_000) as sidecar:
            answer = await sidecar.load("sql", f"{web.url}/{name}")
            assert code(answer)[1] == expected, answer.text
            assert 400 <= answer.status_code < 500
            assert (sidecar.files(), sidecar.engine.adapters) == ([], {})

    run(story())
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=100), st.integers(0, 3000))
def test_no_archive_with_flipped_bytes_breaks_the_unpacking(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int
) -> None:
    base = tmp_path_factory.mktemp("noise")
    for content in (a_tar({}), a_zip({}), gzip.compress(a_tar({}))):
        (base / "archive").write_bytes(content[:at] + noise + content[at + len(noise) :])
        folder = base / f"out-{len(list(base.iterdir()))}"
        folder.mkdir()
        with refused_by(Code.ARTIFACT_CORRUPT, Code.ARTIFACT_UNSAFE, Code.ARTIFACT_TOO_LARGE):
            unpack(base / "archive", folder, 1 << 20)


@pytest.mark.parametrize("name", ["", ".", "..", "a/../b", "/a", "a//b", "a\\b", "a\0", "a\n", "a" * 300, "a/"])
def test_a_remote_name_that_could_leave_the_folder_is_unsafe(tmp_path: Path, name: str) -> None:
    with pytest.raises(SidecarError) as failed:
        safe_join(tmp_path, name)
    assert failed.value.code is Code.ARTIFACT_UNSAFE


BAD_LISTS = [
    (b"", "artifact_corrupt"),
    (b"{", "artifact_corrupt"),
    (b"\xff\xfe", "artifact_corrupt"),
    (b'{"files": []}', "artifact_corrupt"),
    (b'{"files": [5]}', "artifact_corrupt"),
    (b'{"files": [{"path": "adapter_config.json", "sha256": "zz"}]}', "artifact_corrupt"),
    (b'{"files": ["../../etc/x.json"]}', "artifact_unsafe"),
    (b'{"files": ["/etc/x.json"]}', "artifact_unsafe"),
    (b'{"files": ["http://evil/x.json"]}', "artifact_unsafe"),
    (b'{"files": [{"path": "adapter_config.json", "size": 5}]}', "artifact_corrupt"),
    (b"x.json\n" * 300, "artifact_corrupt"),
    (b" " * 2_000_000, "artifact_too_large"),
    (b"0" * 64 + b"  adapter_config.json\n" + b"0" * 64 + b"  adapter_model.safetensors\n", "artifact_corrupt"),
]


@pytest.mark.parametrize(("text", "expected"), BAD_LISTS, ids=range(len(BAD_LISTS)))
def test_hostile_lists_of_files_leave_nothing(web: WebServer, tmp_path: Path, text: bytes, expected: str) -> None:
    web.files["/sql/files.txt"] = text

    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            answer = await sidecar.load("sql", f"{web.url}/sql/files.txt")
            assert code(answer)[1] == expected, answer.text
            assert 400 <= answer.status_code < 500
            assert (sidecar.files(), sidecar.engine.adapters) == ([], {})

    run(story())


def test_an_artifact_above_the_limit_is_refused_before_and_while_it_is_fetched(web: WebServer, tmp_path: Path) -> None:
    web.put("/big", an_adapter(100_000))

    async def story() -> None:
        async with a_sidecar(tmp_path, largest=50_000) as sidecar:
            assert code(await sidecar.load("big", f"{web.url}/big/")) == (413, "artifact_too_large")
            assert web.fetches(f"/big/{MODEL}") == 0
            assert sidecar.files() == []

    run(story())


def test_a_signed_query_is_never_in_a_message(web: WebServer, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            answer = await sidecar.load("sql", f"{web.url}/none.zip?X-Amz-Signature={SECRET}")
            downloads = await sidecar.client.get("/v1/downloads")
            assert code(answer) == (404, "artifact_not_found")
            assert SECRET not in answer.text + downloads.text + sidecar.log.getvalue()
            await sidecar.load("sql", f"{web.url}/sql/files.zip?X-Amz-Signature={SECRET}")
            assert not any(SECRET in path for path in sidecar.files())

    run(story())
