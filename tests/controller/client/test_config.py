"""Configuration and credentials of the operator's client, and its errors."""

import asyncio
import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from controller.api.types import LEASES
from controller.client import config as config_module
from controller.client import transport as kube_connection
from controller.client.config import ConfigError, InCluster, Kubeconfig, find_config
from controller.client.exec_credentials import PluginError, run_plugin
from controller.client.interface import Forbidden, Unavailable
from controller.clock import SystemClock
from tests.controller.api_server import ScriptedServer, client_of, json_response, kubeconfig, status

LEASE = {"metadata": {"name": "lock", "namespace": "default", "resourceVersion": "1"}, "spec": {}}


def a_plugin(folder: Path, script: str) -> dict[str, Any]:
    program = folder / "plugin"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {"command": str(program), "apiVersion": "client.authentication.k8s.io/v1", "args": ["login"]}


def a_credential(**fields: str) -> str:
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": fields}
    return f"echo '{json.dumps(answer)}'"


def load(file: Path) -> config_module.RestConfig:
    return asyncio.run(Kubeconfig(str(file), "", SystemClock()).load())


def refused(file: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(file)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_token_in_a_kubeconfig_is_shown(tmp_path: Path) -> None:
    login = load(kubeconfig(tmp_path, "https://api:6443", {"token": "sesame"}))
    assert (login.token, login.configuration.host) == ("Bearer sesame", "https://api:6443")
    assert login.valid_for is None
    assert "sesame" not in repr(login)


def test_a_token_file_is_read_again(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    file = kubeconfig(tmp_path, "https://api:6443", {"tokenFile": "token"})
    assert (load(file).token, load(file).valid_for) == ("Bearer first", 60.0)
    token.write_text("second\n")
    assert load(file).token == "Bearer second"


def test_a_plugins_token_is_good_until_a_minute_before_it_expires(tmp_path: Path) -> None:
    expires = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=1)).isoformat()
    plugin = a_plugin(tmp_path, a_credential(token="cloud", expirationTimestamp=expires))
    file = kubeconfig(tmp_path, "https://api:6443", {"exec": plugin})

    class Noon:
        def now(self) -> datetime:
            return datetime(2026, 1, 1, tzinfo=UTC)

    login = asyncio.run(Kubeconfig(str(file), "", Noon()).load())
    assert login.token == "Bearer cloud"
    assert login.valid_for == 3600 - 60


def test_a_plugins_certificate_is_used(tmp_path: Path) -> None:
    plugin = a_plugin(tmp_path, a_credential(clientCertificateData="CERT", clientKeyData="KEY"))
    login = load(kubeconfig(tmp_path, "https://api:6443", {"exec": plugin}))
    assert login.token == ""
    assert Path(login.configuration.cert_file).read_text() == "CERT"
    assert Path(login.configuration.key_file).read_text() == "KEY"


def test_a_plugin_gets_the_arguments_and_environment_of_the_kubeconfig(tmp_path: Path) -> None:
    script = 'test "$1" = login && test "$REGION" = eu && test -n "$KUBERNETES_EXEC_INFO" && ' + a_credential(token="t")
    plugin = {**a_plugin(tmp_path, script), "env": [{"name": "REGION", "value": "eu"}]}
    assert load(kubeconfig(tmp_path, "https://api:6443", {"exec": plugin})).token == "Bearer t"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo denied >&2; exit 3", "exited with code 3: denied"),
        ("echo sesame", "did not print an ExecCredential"),
        (a_credential(), "neither a token nor a certificate"),
        (a_credential(clientCertificateData="CERT"), "neither a token nor a certificate"),
        (a_credential(token="sesame").replace("k8s.io/v1", "k8s.io/v1beta1"), "returned apiVersion"),
    ],
)
def test_a_plugin_that_fails_is_named(script: str, message: str, tmp_path: Path) -> None:
    line = refused(kubeconfig(tmp_path, "https://api:6443", {"exec": a_plugin(tmp_path, script)}))
    assert message in line
    assert str(tmp_path / "plugin") in line
    assert "sesame" not in line


def test_a_missing_plugin_is_named_with_its_install_hint(tmp_path: Path) -> None:
    plugin = {"command": "no-such-plugin", "apiVersion": "client.authentication.k8s.io/v1", "installHint": "get it"}
    assert "no-such-plugin could not be started: No such file or directory; get it" in refused(
        kubeconfig(tmp_path, "https://api:6443", {"exec": plugin})
    )


def test_a_plugin_that_hangs_is_killed(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"did not finish within 0.1 s"):
        asyncio.run(run_plugin(a_plugin(tmp_path, "exec sleep 60"), timeout=0.1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clusters: [", "not YAML"),
        ("- a", "its top level must be a mapping"),
        ("{}", "has no clusters or no contexts"),
        ("{clusters: {a: b}, contexts: []}", "clusters must be a list of named entries"),
        ("{clusters: [{name: t}], contexts: [{name: t, context: {cluster: t}}], current-context: t}", "Expected key"),
        ("{clusters: [{name: t}], contexts: [{name: t}]}", "no current-context"),
        (
            "{clusters: [{name: t}], contexts: [{name: t, context: {cluster: other}}], current-context: t}",
            "name other in",
        ),
        ("{clusters: [{name: t}], contexts: [{name: t}], current-context: other}", "no context 'other'; it has t"),
        (
            "{clusters: [{name: t, cluster: {server: 'api:6443'}}], contexts: [{name: t, context: {cluster: t}}], "
            "current-context: t}",
            "must start with https://",
        ),
        (
            "{clusters: [{name: t, cluster: {server: 'https://api', certificate-authority: nowhere.crt}}], "
            "contexts: [{name: t, context: {cluster: t}}], current-context: t}",
            "nowhere.crt",
        ),
    ],
)
def test_an_invalid_kubeconfig_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    line = refused(file)
    assert message in line


def test_a_missing_kubeconfig_is_refused_in_one_line(tmp_path: Path) -> None:
    assert refused(tmp_path / "nowhere") == f"{tmp_path / 'nowhere'}: kubeconfig not found"


def test_a_named_kubeconfig_precedes_the_pods_account_and_that_the_home_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / ".kube"
    home.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    clock = SystemClock()
    with pytest.raises(ConfigError, match="--kubeconfig"):
        find_config("", "", clock)
    (home / "config").write_text("{}")
    assert isinstance(find_config("", "", clock), Kubeconfig)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert isinstance(find_config("", "", clock), InCluster)
    monkeypatch.setenv("KUBECONFIG", "somewhere")
    assert isinstance(find_config("", "", clock), Kubeconfig)


def test_the_namespace_is_the_contexts(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path, "https://api:6443", {"token": "t"})
    assert Kubeconfig(str(file), "", SystemClock()).namespace == "models"


def test_a_pods_account_is_used_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_module.incluster_config
    for name, text in (("token", "first"), ("ca.crt", "CA"), ("namespace", "operators")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setattr(config_module, "_NAMESPACE_FILE", tmp_path / "namespace")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    access = InCluster()
    login = asyncio.run(access.load())
    assert login.token.lower() == "bearer first"
    assert login.configuration.host == "https://[fd00::1]:443"
    assert (login.valid_for, access.namespace) == (60.0, "operators")
    (tmp_path / "token").write_text("second")
    assert asyncio.run(access.load()).token.lower() == "bearer second"
    (tmp_path / "token").unlink()
    with pytest.raises(ConfigError, match="service account"):
        asyncio.run(access.load())


def test_a_token_that_is_refused_is_read_again_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token may be replaced before it expires: after a 401 the file is read again."""
    monkeypatch.setattr(kube_connection, "_RELOAD_INTERVAL", -1.0)
    token = tmp_path / "token"
    token.write_text("old")

    def access(url: str) -> Kubeconfig:
        return Kubeconfig(str(kubeconfig(tmp_path, url, {"tokenFile": "token"})), "", SystemClock())

    def replaced(request: Any) -> Any:
        token.write_text("new")
        return status(401, "Unauthorized")(request)

    script = ScriptedServer([replaced, json_response(200, LEASE)])

    async def story() -> None:
        async with client_of(script, tmp_path, access=access) as client:
            await client.get(LEASES, "default", "lock")

    asyncio.run(story())
    assert [request.headers["Authorization"] for request in script.requests] == ["Bearer old", "Bearer new"]


def test_repeated_401_responses_are_not_retried_for_ever(tmp_path: Path) -> None:
    script = ScriptedServer([status(401, "Unauthorized", "Unauthorized")])

    async def story() -> None:
        async with client_of(script, tmp_path) as client:
            with pytest.raises(Forbidden) as caught:
                await client.get(LEASES, "default", "lock")
        assert caught.value.code == 401

    asyncio.run(story())
    assert len(script.requests) <= 2


def test_a_server_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    def nowhere(url: str) -> Kubeconfig:
        return Kubeconfig(str(kubeconfig(tmp_path, "http://127.0.0.1:1", {"token": "t"})), "", SystemClock())

    async def story() -> None:
        async with client_of(ScriptedServer([json_response(200, LEASE)]), tmp_path, access=nowhere) as client:
            with pytest.raises(Unavailable, match=r"http://127.0.0.1:1: no connection"):
                await client.patch(LEASES, "default", "lock", {})

    asyncio.run(story())


@pytest.mark.parametrize("by", ["environment", "kubeconfig"])
def test_a_proxy_is_used(by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripted server is the proxy: it gets a request for a host that does not exist."""
    script = ScriptedServer([json_response(200, LEASE)])

    def access(url: str) -> Kubeconfig:
        if by == "environment":
            monkeypatch.setenv("http_proxy", url)
        cluster = {} if by == "environment" else {"proxy-url": url}
        return Kubeconfig(
            str(kubeconfig(tmp_path, "http://api.invalid:6443", {"token": "t"}, **cluster)), "", SystemClock()
        )

    async def story() -> None:
        async with client_of(script, tmp_path, access=access) as client:
            await client.get(LEASES, "default", "lock")

    asyncio.run(story())
    assert script.requests[0].host.startswith("api.invalid")
