"""S3 and TOS against moto's S3 server, which requires keys for buckets that are not public."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from controller.sidecar.artifacts.credentials import S3Credentials
from controller.sidecar.artifacts.stores.s3 import _client, tos_keys
from tests.controller.sidecar.proxy import cutting_proxy
from tests.controller.sidecar.worlds import a_sidecar, an_adapter, code, run, web_server

MODEL = "adapter_model.safetensors"


class Bucket:
    """A private and a public bucket on a server that checks keys."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.port = int(url.rpartition(":")[2])
        anything = {"aws_access_key_id": "setup", "aws_secret_access_key": "setup", "region_name": "us-east-1"}
        self.s3: Any = boto3.client("s3", endpoint_url=url, **anything)
        self.s3.create_bucket(Bucket="private")
        self.s3.create_bucket(Bucket="public", ACL="public-read")
        self.iam: Any = boto3.client("iam", endpoint_url=url, **anything)
        self.iam.create_user(UserName="reader")
        allow = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        policy = {"Version": "2012-10-17", "Statement": [allow]}
        self.iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=json.dumps(policy))
        self.keys, self.fresh_keys = self._new_keys(), self._new_keys()

    def _new_keys(self) -> dict[str, str]:
        key = self.iam.create_access_key(UserName="reader")["AccessKey"]
        return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}

    def put(self, bucket: str, folder: str, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            acl = "public-read" if bucket == "public" else "private"
            self.s3.put_object(Bucket=bucket, Key=f"{folder}/{name}", Body=content, ACL=acl)

    def check_keys(self, requests: bool) -> None:
        httpx.post(f"{self.url}/moto-api/reset-auth", content=b"0" if requests else b"inf")


@pytest.fixture(scope="module")
def server() -> Iterator[Bucket]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    bucket = Bucket(f"http://127.0.0.1:{port}")
    for folder in ("public", "private"):
        bucket.put(folder, "team/sql", an_adapter())
    yield bucket
    server.stop()


@pytest.fixture
def bucket(server: Bucket) -> Iterator[Bucket]:
    server.check_keys(True)
    yield server
    server.check_keys(False)


def test_a_private_adapter_is_loaded_with_its_keys(bucket: Bucket, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            keys = {**bucket.keys, "aws_region": "us-east-1", "endpoint": bucket.url}
            loaded = await sidecar.load("sql", "s3://private/team/sql/", keys)
            assert loaded.status_code == 200, loaded.text
            assert (Path(loaded.json()["local_path"]) / MODEL).read_bytes() == an_adapter()[MODEL]

    run(story())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"aws_secret_access_key": "wrong"}, (403, "artifact_forbidden")),
        ({"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE"}, (403, "artifact_forbidden")),
        ({"aws_secret_access_key": ""}, (400, "credentials_invalid")),
        ({"endpoint": "http://127.0.0.1:1"}, (503, "store_unavailable")),
        ({"endpoint": "http://nowhere.invalid"}, (503, "store_unavailable")),
        ({"endpoint": "ftp://127.0.0.1"}, (400, "credentials_invalid")),
    ],
)
def test_keys_that_do_not_do_say_so(
    bucket: Bucket, tmp_path: Path, change: dict[str, str], expected: tuple[int, str]
) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            keys = {**bucket.keys, "endpoint": bucket.url, **change}
            answer = await sidecar.load("sql", "s3://private/team/sql/", keys)
            assert code(answer) == expected
            assert (sidecar.files(), sidecar.engine.adapters) == ([], {})

    run(story())


def test_an_expired_session_is_forbidden(tmp_path: Path) -> None:
    answer = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"

    async def story() -> None:
        with web_server() as web:
            web.files["/private"], web.statuses["/private"] = answer, 400
            web.bodies_of_errors = True
            async with a_sidecar(tmp_path) as sidecar:
                keys = {"aws_access_key_id": "ASIA1", "aws_secret_access_key": "s", "aws_session_token": "old-token"}
                failed = await sidecar.load("sql", "s3://private/team/sql/", {**keys, "endpoint": web.url})
                assert code(failed) == (403, "artifact_forbidden")
                assert "ExpiredToken" in failed.text
                assert web.requests[0][2]["x-amz-security-token"] == "old-token"

    run(story())


def test_a_public_bucket_needs_no_keys_and_a_private_one_says_what_is_missing(server: Bucket, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path, s3=server.url) as sidecar:
            assert (await sidecar.load("sql", "s3://public/team/sql")).status_code == 200
            assert code(await sidecar.load("two", "s3://private/team/sql/")) == (401, "credentials_missing")

    run(story())


def test_what_is_not_there_is_not_found(server: Bucket, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            keys = {**server.keys, "endpoint": server.url}
            for url in ("s3://private/team/other/", "s3://no-such-bucket/team/sql/", "s3://private/team/sql.zip"):
                assert code(await sidecar.load("sql", url, keys)) == (404, "artifact_not_found")

    run(story())


def test_a_connection_cut_at_a_third_is_taken_up(server: Bucket, tmp_path: Path) -> None:
    files = an_adapter(6_000_000)
    server.put("private", "team/big", files)

    async def story() -> None:
        with cutting_proxy(server.port) as proxy:
            proxy.cuts.append(1_800_000)
            async with a_sidecar(tmp_path) as sidecar:
                loaded = await sidecar.load("big", "s3://private/team/big/", {**server.keys, "endpoint": proxy.url})
                assert loaded.status_code == 200, loaded.text
                assert (Path(loaded.json()["local_path"]) / MODEL).read_bytes() == files[MODEL]
                assert proxy.cuts == []
                assert proxy.carried < 7_500_000

    run(story())


def test_large_files_come_in_parts(server: Bucket, tmp_path: Path) -> None:
    files = an_adapter(40 << 20)
    server.put("private", "team/parts", files)

    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            loaded = await sidecar.load("parts", "s3://private/team/parts/", {**server.keys, "endpoint": server.url})
            assert (Path(loaded.json()["local_path"]) / MODEL).read_bytes() == files[MODEL]

    run(story())


def test_mounted_keys_are_used_when_a_request_brings_none(bucket: Bucket, tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    for name, value in {**bucket.keys, "endpoint": bucket.url}.items():
        (mount / name).write_text(value + "\n")

    async def story() -> None:
        async with a_sidecar(tmp_path / "cache", mount=mount) as sidecar:
            assert (await sidecar.load("sql", "s3://private/team/sql/")).status_code == 200
            wrong = {"aws_access_key_id": "AKIA1", "aws_secret_access_key": "x"}
            refused = await sidecar.load("two", "s3://private/team/sql/", {**wrong, "endpoint": bucket.url})
            assert code(refused) == (403, "artifact_forbidden"), "a request's own keys are never mixed with the mount's"

    run(story())


def test_rotated_keys_use_the_cache_and_strangers_do_not(bucket: Bucket, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            old = {**bucket.keys, "endpoint": bucket.url}
            await sidecar.load("sql", "s3://private/team/sql/", old)
            await sidecar.unload("sql", cleanup_local=False)
            rotated = await sidecar.load("sql", "s3://private/team/sql/", {**bucket.fresh_keys, "endpoint": bucket.url})
            assert rotated.status_code == 200, rotated.text
            page = (await sidecar.client.get("/metrics")).text
            assert "lora_runtime_cache_hits_total 1.0" in page
            bucket.check_keys(False)  # with it moto cannot take requests without a signature; it still refuses them
            stranger = await sidecar.load("mine", "s3://private/team/sql/", {"endpoint": bucket.url})
            assert code(stranger) == (401, "credentials_missing")

    run(story())


def test_tos_is_spoken_to_as_s3(bucket: Bucket, tmp_path: Path) -> None:
    keys = {
        "TOS_ACCESS_KEY": bucket.keys["aws_access_key_id"],
        "TOS_SECRET_KEY": bucket.keys["aws_secret_access_key"],
        "endpoint": bucket.url,
        "region": "us-east-1",
    }

    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            loaded = await sidecar.load("sql", "tos://private/team/sql/", keys)
            assert loaded.status_code == 200, loaded.text
            wrong = await sidecar.load("two", "tos://private/team/sql/", {**keys, "TOS_SECRET_KEY": "wrong"})
            assert code(wrong) == (403, "artifact_forbidden")
            aws = await sidecar.load("two", "tos://private/team/sql/", bucket.keys)
            assert code(aws) == (400, "credentials_invalid")

    run(story())


def test_tos_public_missing_expired_and_cut_at_a_third(server: Bucket, tmp_path: Path) -> None:
    files = an_adapter(6_000_000)
    server.put("public", "team/cut", files)
    anybody = {"endpoint": server.url, "region": "us-east-1"}
    expired = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"

    async def story() -> None:
        with cutting_proxy(server.port) as proxy, web_server() as web:
            async with a_sidecar(tmp_path) as sidecar:
                assert (await sidecar.load("sql", "tos://public/team/sql/", anybody)).status_code == 200
                missing = await sidecar.load("two", "tos://public/team/none/", anybody)
                assert code(missing) == (404, "artifact_not_found")
                proxy.cuts.append(1_800_000)
                cut = await sidecar.load("cut", "tos://public/team/cut/", {**anybody, "endpoint": proxy.url})
                assert (Path(cut.json()["local_path"]) / MODEL).read_bytes() == files[MODEL]
                assert (proxy.cuts, proxy.carried < 7_500_000) == ([], True)
                web.files["/private"], web.statuses["/private"], web.bodies_of_errors = expired, 400, True
                keys = {"TOS_ACCESS_KEY": "AK", "TOS_SECRET_KEY": "s", "TOS_SESSION_KEY": "old", "endpoint": web.url}
                assert code(await sidecar.load("old", "tos://private/sql/", keys)) == (403, "artifact_forbidden")
                assert web.requests[0][2]["x-amz-security-token"] == "old"

    run(story())


@pytest.mark.parametrize(
    ("endpoint", "region", "meant"),
    [
        ("", "", "https://tos-s3-cn-beijing.volces.com"),
        ("", "cn-shanghai", "https://tos-s3-cn-shanghai.volces.com"),
        ("tos-cn-beijing.volces.com", "", "https://tos-s3-cn-beijing.volces.com"),
        ("https://tos-s3-cn-beijing.volces.com", "", "https://tos-s3-cn-beijing.volces.com"),
        ("https://tos.example.com", "", "https://tos.example.com"),
    ],
)
def test_tos_endpoints_become_those_that_speak_s3(endpoint: str, region: str, meant: str) -> None:
    assert tos_keys(S3Credentials(endpoint=endpoint, region=region)).endpoint == meant


def test_the_environment_of_other_programs_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {
        "AWS_PROFILE": "not-in-any-file",
        "AWS_MAX_ATTEMPTS": "lots",
        "AWS_RETRY_MODE": "eager",
        "AWS_DEFAULTS_MODE": "none-such",
        "AWS_DEFAULT_REGION": "no region",
        "AWS_ENDPOINT_URL_S3": "http://192.0.2.1",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "sometimes",
        "AWS_ACCOUNT_ID_ENDPOINT_MODE": "odd",
    }.items():
        monkeypatch.setenv(variable, value)
    client = _client(S3Credentials(), None)
    assert client.meta.endpoint_url == "https://s3.amazonaws.com"
    assert client.meta.config.retries["total_max_attempts"] == 2
    client.close()
