"""Documents that are no artifacts are not shown, odd names have a code, a connection goes to the checked address."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from controller.sidecar.artifacts.egress_guard import EgressGuard
from controller.sidecar.artifacts.url import parse
from controller.sidecar.errors import Code, SidecarError
from tests.controller.sidecar.worlds import a_sidecar, code, run, web_server

PUBLIC = "203.0.113.7"
"""An address that no one has (RFC 5737); connections to it are not answered."""


@pytest.mark.parametrize(
    "document",
    [
        "password=hunter2\nroot:x:0:0\n",
        "../hunter2.json\n",
        "/etc/hunter2.json\n",
        "hunter2.json\n",
        "hunter2.safetensors\nadapter_config.json\n",
        json.dumps({"files": [{"path": "hunter2.json", "size": 7}]}),
        json.dumps({"files": [{"path": "hunter2.json", "sha256": "0" * 64}]}),
        json.dumps({"token": "hunter2"}),
        "hunter2",
    ],
    ids=range(9),
)
@pytest.mark.parametrize("name", ["notes.txt", "files.json", "SHA256SUMS"])
def test_no_line_of_a_fetched_document_is_in_an_error_or_a_log(tmp_path: Path, document: str, name: str) -> None:
    async def story() -> None:
        with web_server() as web:
            web.files[f"/{name}"] = document.encode()
            web.files["/hunter2.json"] = b"short"
            async with a_sidecar(tmp_path) as sidecar:
                answer = await sidecar.load("sql", f"{web.url}/{name}")
                assert answer.status_code >= 400
                assert answer.json()["error"]["code"] != "internal_error"
                assert "hunter2" not in answer.text + sidecar.log.getvalue()

    run(story())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a\0b.json", "artifact_unsafe"),
        ("a\nb.json", "artifact_unsafe"),
        ("\ud800.json", "artifact_unsafe"),
        ("//[x.json", "artifact_unsafe"),
        ("a" * 300 + ".json", "artifact_not_found"),
        ("\u202e.json", "artifact_not_found"),
    ],
)
def test_an_odd_name_in_a_list_has_a_code(tmp_path: Path, name: str, expected: str) -> None:
    async def story() -> None:
        with web_server() as web:
            web.files["/files.json"] = json.dumps({"files": [{"path": name}]}).encode()
            async with a_sidecar(tmp_path) as sidecar:
                assert code(await sidecar.load("sql", f"{web.url}/files.json"))[1] == expected

    run(story())


@pytest.mark.parametrize("target", ["http://h:99999/", "http://h:x/", "http://[::1", "http://a..b/", "http://:80/x"])
def test_a_redirect_to_an_odd_host_or_port_has_a_code(tmp_path: Path, target: str) -> None:
    async def story() -> None:
        with web_server() as web:
            web.redirects["/sql.tar"] = target
            web.files["/sql.tar"] = b"x"
            async with a_sidecar(tmp_path) as sidecar:
                assert code(await sidecar.load("sql", f"{web.url}/sql.tar"))[1] in ("invalid_url", "store_unavailable")

    run(story())


@pytest.mark.parametrize("total", ["9" * 5000, "\u00b2", "-1", "*", ""])
def test_an_odd_size_in_a_header_is_an_unknown_size(total: str) -> None:
    import httpx

    from controller.sidecar.artifacts.stores import UNKNOWN
    from controller.sidecar.artifacts.stores.http import _full_size

    headers = [(b"content-range", f"bytes 0-0/{total}".encode("latin-1"))]
    assert _full_size(httpx.Response(206, headers=headers)) == UNKNOWN


@pytest.mark.parametrize(
    "address",
    [
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "fd00:42::42",
        "fe80::a9fe:a9fe",
        "::ffff:169.254.169.254",
        "::ffff:127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "2001:db8::5efe:169.254.169.254",
        "2001:db8::200:5efe:7f00:1",
        "::1",
        "::",
        "ff02::1",
        "::a9fe:a9fe",
    ],
)
def test_metadata_addresses_of_ipv6_are_refused(address: str) -> None:
    assert not EgressGuard().permits(address)


@pytest.mark.parametrize("address", ["2606:4700::1111", "fd12:3456::1", "10.0.0.1", "64:ff9b::808:808"])
def test_other_addresses_are_permitted(address: str) -> None:
    assert EgressGuard().permits(address)


def test_half_of_a_surrogate_pair_in_a_url_is_refused() -> None:
    with pytest.raises(SidecarError) as caught:
        parse("https://host/\ud800/")
    assert caught.value.code is Code.INVALID_URL


class Rebinding:
    """A name server that answers with a public address first, and with loopback from then on."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.answers = 0
        self._real = socket.getaddrinfo
        patch.setattr(socket, "getaddrinfo", self._resolve)

    def _resolve(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in ("rebind.test", "bucket.rebind.test"):
            return self._real(host, port, *args, **kwargs)
        self.answers += 1
        return self._real(PUBLIC if self.answers == 1 else "127.0.0.1", port, *args, **kwargs)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let connections to the public address fail at once."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] == PUBLIC:
            raise ConnectionRefusedError(111, "Connection refused")
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize(
    ("url", "keys"),
    [
        ("s3://bucket/sql/", {"aws_access_key_id": "a", "aws_secret_access_key": "b"}),
        ("huggingface://acme/sql", {"huggingface_token": "hf_made_up"}),
    ],
)
def test_a_name_that_changes_after_the_check_does_not_lead_to_another_address(
    url: str, keys: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        with web_server() as web:
            names = Rebinding(monkeypatch)
            async with a_sidecar(tmp_path, allowed=()) as sidecar:
                endpoint = f"http://rebind.test:{web.port}"
                answer = await sidecar.load("sql", url, keys | {"endpoint": endpoint})
                assert code(answer)[1] in ("address_refused", "store_unavailable"), answer.text
            assert names.answers > 1  # the name did change
            assert web.requests == []

    run(story())
