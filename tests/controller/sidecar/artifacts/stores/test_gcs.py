"""Google Cloud Storage against gcp-storage-emulator (on PyPI), with a gate before it that asks for a token.

The emulator checks no credentials. The gate does: it gives out tokens for a service account's signed request, as
Google's token endpoint does, and rejects requests without one for the private bucket.
"""

import json
import threading
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from gcp_storage_emulator.server import create_server
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from controller.sidecar.artifacts.credentials import GcsCredentials
from controller.sidecar.artifacts.egress_guard import EgressGuard
from controller.sidecar.artifacts.stores.gcs import GcsStore, _file
from controller.sidecar.artifacts.url import parse
from controller.sidecar.errors import SidecarError
from tests.controller.sidecar.proxy import cutting_proxy
from tests.controller.sidecar.worlds import a_sidecar, an_adapter, code, run

MODEL = "adapter_model.safetensors"
TOKEN = "ya29.a-token-for-tests"
EMAIL = "reader@project.iam.gserviceaccount.com"


class Gate:
    """Google Cloud Storage as the sidecar sees it."""

    def __init__(self, emulator: int) -> None:
        self.emulator = emulator
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                gate.answer(self, *gate.token(form["assertion"][0]))

            def do_GET(self) -> None:
                gate.pass_on(self)

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def token(self, assertion: str) -> tuple[int, bytes]:
        signed, _, signature = assertion.rpartition(".")
        try:
            raw = urlsafe_b64decode(signature + "==")
            self.key.public_key().verify(raw, signed.encode(), PKCS1v15(), SHA256())
        except InvalidSignature:
            return 400, b'{"error": "invalid_grant", "error_description": "Invalid JWT Signature."}'
        return 200, json.dumps({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}).encode()

    def pass_on(self, handler: BaseHTTPRequestHandler) -> None:
        given = handler.headers.get("authorization", "")
        if given != f"Bearer {TOKEN}" and "/private/" in handler.path:
            return self.answer(handler, 403 if given else 401, b'{"error": {"code": 401, "message": "no"}}')
        connection = HTTPConnection("127.0.0.1", self.emulator)
        expected = {"range": handler.headers["range"]} if handler.headers.get("range") else {}
        connection.request("GET", handler.path, headers=expected)
        response = connection.getresponse()
        self.answer(handler, response.status, response.read(), response.getheader("content-range") or "")
        connection.close()
        return None

    @staticmethod
    def answer(handler: BaseHTTPRequestHandler, status: int, body: bytes, content_range: str = "") -> None:
        handler.send_response(status)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(body)))
        if content_range:
            handler.send_header("content-range", content_range)
        handler.end_headers()
        handler.wfile.write(body)

    def account(self, key: rsa.RSAPrivateKey | None = None, **changes: str) -> dict[str, str]:
        """Return the Secret of a service account; its key defaults to the gate's."""
        pem = (key or self.key).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        info = {
            "type": "service_account",
            "project_id": "project",
            "private_key_id": "1",
            "private_key": pem,
            "client_email": EMAIL,
            "token_uri": f"{self.url}/token",
            **changes,
        }
        return {"gcp_service_account_json": json.dumps(info), "endpoint": self.url}


@pytest.fixture(scope="module")
def gate() -> Iterator[Gate]:
    emulator = create_server("127.0.0.1", 0, in_memory=True)
    emulator.start()
    port = emulator._api._httpd.server_port
    options = {"api_endpoint": f"http://127.0.0.1:{port}"}
    client = storage.Client(project="project", credentials=AnonymousCredentials(), client_options=options)
    for bucket in ("public", "private"):
        client.create_bucket(bucket)
        for name, content in an_adapter().items():
            client.bucket(bucket).blob(f"team/sql/{name}").upload_from_string(content)
    for name, content in an_adapter(6_000_000).items():
        client.bucket("private").blob(f"team/big/{name}").upload_from_string(content)
    client.close()
    gate = Gate(port)
    yield gate
    gate.server.shutdown()
    gate.server.server_close()
    emulator.stop()


@pytest.mark.parametrize("scheme", ["gs", "gcs"])
def test_a_private_adapter_is_loaded_with_a_service_accounts_key(gate: Gate, tmp_path: Path, scheme: str) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            loaded = await sidecar.load("sql", f"{scheme}://private/team/sql/", gate.account())
            assert loaded.status_code == 200, loaded.text
            assert (Path(loaded.json()["local_path"]) / MODEL).read_bytes() == an_adapter()[MODEL]

    run(story())


def test_a_public_bucket_needs_no_account_and_a_private_one_says_what_is_missing(gate: Gate, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path, google=gate.url) as sidecar:
            assert (await sidecar.load("sql", "gs://public/team/sql/")).status_code == 200
            assert code(await sidecar.load("two", "gs://private/team/sql/")) == (401, "credentials_missing")

    run(story())


class Crowded:
    """A client whose bucket has many objects that no adapter needs, before those of an adapter."""

    def bucket(self, name: str) -> str:
        return name

    def list_blobs(self, _: str, *, max_results: int | None = None, **__: object) -> Iterator[storage.Blob]:
        names = [*(f"a-{number:04}.log" for number in range(1100)), *an_adapter()]
        for name in names[:max_results]:
            blob = storage.Blob(f"crowded/{name}", None)
            blob._properties |= {"size": "10"}
            yield blob


def test_a_crowded_folder_is_listed_to_its_end() -> None:
    store = GcsStore(parse("gs://public/crowded/"), GcsCredentials(), EgressGuard())
    store._client = Crowded()
    assert {file.path for file in store._list().files} == set(an_adapter())


def test_an_object_that_is_stored_compressed_is_refused_with_the_remedy() -> None:
    blob = storage.Blob("team/sql/adapter_model.safetensors", None)
    blob._properties |= {"contentEncoding": "gzip", "size": "10"}
    with pytest.raises(SidecarError, match=r"adapter_model.safetensors is stored with Content-Encoding: gzip; upload"):
        _file(blob, "adapter_model.safetensors")


def test_a_key_that_google_no_longer_takes_is_forbidden(gate: Gate, tmp_path: Path) -> None:
    revoked = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            refused = await sidecar.load("sql", "gs://private/team/sql/", gate.account(revoked))
            assert code(refused) == (403, "artifact_forbidden")
            assert sidecar.files() == []

    run(story())


@pytest.mark.parametrize(
    "secret",
    [
        {"gcp_service_account_json": "{"},
        {"gcp_service_account_json": "[]"},
        {"gcp_service_account_json": '{"type": "authorized_user"}'},
        {"gcp_service_account_json": '{"type":"service_account","client_email":"a","private_key":"x","token_uri":"y"}'},
        {"json": "{}"},
    ],
)
def test_a_broken_key_file_is_named_as_such(gate: Gate, tmp_path: Path, secret: dict[str, str]) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            assert code(await sidecar.load("sql", "gs://private/team/sql/", secret)) == (400, "credentials_invalid")

    run(story())


def test_what_is_not_there_is_not_found(gate: Gate, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_sidecar(tmp_path) as sidecar:
            for url in ("gs://private/team/other/", "gs://no-such-bucket/team/", "gs://private/team/sql.zip"):
                assert code(await sidecar.load("sql", url, gate.account())) == (404, "artifact_not_found")

    run(story())


def test_a_connection_cut_at_a_third_is_taken_up(gate: Gate, tmp_path: Path) -> None:
    async def story() -> None:
        with cutting_proxy(gate.port) as proxy:
            proxy.cuts.append(1_800_000)
            async with a_sidecar(tmp_path) as sidecar:
                secret = {**gate.account(), "endpoint": proxy.url}
                loaded = await sidecar.load("big", "gs://private/team/big/", secret)
                assert loaded.status_code == 200, loaded.text
                assert (Path(loaded.json()["local_path"]) / MODEL).read_bytes() == an_adapter(6_000_000)[MODEL]
                assert proxy.cuts == []

    run(story())


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("gs://bucket/my%20team/sql/", "my team/sql/"),
        ("s3://bucket/100%25/sql/", "100%/sql/"),
        ("s3://bucket/100%2520/sql/", "100%20/sql/"),
        ("s3://bucket/a%2Fb/", "a%2Fb/"),
    ],
)
def test_a_blank_in_a_key_has_a_spelling(url: str, key: str) -> None:
    assert parse(url).path == key
