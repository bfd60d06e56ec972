"""The sidecar as a process: killed at any time, and searched for secrets."""

import json
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.controller.sidecar.processes import Process, a_sidecar_process, an_engine_process
from tests.controller.sidecar.worlds import LOAD, UNLOAD, WebServer, an_adapter, web_server
from tests.ports import free_port

MODEL = "adapter_model.safetensors"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Process]:
    with an_engine_process(tmp_path / "engine.log") as process:
        yield process


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as server:
        server.put("/sql", an_adapter())
        yield server


def listed(engine: Process) -> dict[str, str]:
    models = httpx.get(f"{engine.url}/v1/models").json()["data"]
    return {model["id"]: model["root"] for model in models if model["parent"]}


def try_to_load(url: str, artifact: str) -> None:
    try:
        httpx.post(url + LOAD, json={"lora_name": "sql", "artifact_url": artifact}, timeout=30)
    except httpx.TransportError:
        return  # it was killed


def test_killed_at_twenty_points_it_never_loads_half_an_adapter(
    engine: Process, web: WebServer, tmp_path: Path
) -> None:
    root, port, rng = tmp_path / "cache", free_port(), random.Random(8)
    for number in range(4):
        web.put(f"/{number}", an_adapter(400_000, fill=bytes([number])))
    web.pace = 0.02  # seconds for each 64 KiB: some 150 ms for an adapter
    for attempt in range(20):
        number = attempt % 4
        with a_sidecar_process(tmp_path / "sidecar.log", root, engine.url, port) as sidecar:
            assert list((root / ".incoming").iterdir()) == [], "left over from the start before"
            load = threading.Thread(target=try_to_load, args=(sidecar.url, f"{web.url}/{number}/"))
            load.start()
            load.join(timeout=rng.uniform(0.0, 0.35))
            sidecar.popen.kill()
            load.join()
        for path in listed(engine).values():
            for name, content in an_adapter(400_000, fill=bytes([number])).items():
                assert (Path(path) / name).read_bytes() == content
        httpx.post(f"{engine.url}/v1/unload_lora_adapter", json={"lora_name": "sql"})
    with a_sidecar_process(tmp_path / "sidecar.log", root, engine.url, port) as sidecar:
        for number in range(4):
            answer = httpx.post(
                sidecar.url + LOAD,
                json={"lora_name": f"a-{number}", "artifact_url": f"{web.url}/{number}/"},
                timeout=30,
            )
            assert answer.status_code == 200, answer.text
            content = an_adapter(400_000, bytes([number]))[MODEL]
            assert (Path(answer.json()["local_path"]) / MODEL).read_bytes() == content
        for name in ("sql", "a-0", "a-1", "a-2", "a-3"):
            httpx.post(sidecar.url + UNLOAD, json={"lora_name": name}, timeout=30)
        assert [path for path in root.rglob("*") if path.is_file() or path.is_symlink()] == []


def test_no_store_is_asked_by_way_of_a_proxy(engine: Process, web: WebServer, tmp_path: Path) -> None:
    unreachable = f"http://127.0.0.1:{free_port()}"
    proxies = {
        "http_proxy": unreachable,
        "HTTP_PROXY": unreachable,
        "HTTPS_PROXY": unreachable,
        "all_proxy": unreachable,
    }
    stores = {"HF_ENDPOINT": web.url, "STORAGE_EMULATOR_HOST": web.url, "AWS_ENDPOINT_URL": web.url}
    with a_sidecar_process(
        tmp_path / "log", tmp_path / "cache", engine.url, free_port(), **proxies, **stores, NO_PROXY="", no_proxy=""
    ) as sidecar:
        for number, url in enumerate(("hf://acme/sql", "gs://bucket/sql/", "s3://bucket/sql/", f"{web.url}/none.zip")):
            body = {"lora_name": f"a-{number}", "artifact_url": url}
            with httpx.Client(trust_env=False, timeout=30) as client:
                answer = client.post(sidecar.url + LOAD, json=body)
            assert answer.json()["error"]["code"] == "artifact_not_found", url


SECRETS = {
    "header": "header-5ecret-0001",
    "hub": "hf_hub5ecret0002",
    "aws": "aws5ecretkey0003",
    "session": "aws5essiontoken0004",
    "tos": "tos5ecretkey0005",
    "google": "google5ecretkey0006",
    "engine": "sk-engine5ecret0007",
    "signature": "5ignature0008",
    "wrong": "wrong5ecret0009",
}


def test_no_secret_is_found_anywhere(web: WebServer, tmp_path: Path) -> None:
    web.needs["x-key"] = SECRETS["header"]
    account = {
        "type": "service_account",
        "client_email": "a@b",
        "private_key": SECRETS["google"],
        "token_uri": f"{web.url}/token",
    }
    aws = {
        "aws_access_key_id": "AKIA1",
        "aws_secret_access_key": SECRETS["aws"],
        "aws_session_token": SECRETS["session"],
        "endpoint": web.url,
    }
    tos = {"TOS_ACCESS_KEY": "AK1", "TOS_SECRET_KEY": SECRETS["tos"], "endpoint": web.url}
    loads: list[tuple[str, dict[str, object] | None]] = [
        (f"{web.url}/sql/?token={SECRETS['signature']}", {"headers": json.dumps({"X-Key": SECRETS["header"]})}),
        (f"{web.url}/sql/", {"headers": json.dumps({"X-Key": SECRETS["wrong"]})}),
        (f"{web.url}/sql/", {"headers": SECRETS["wrong"]}),
        (f"{web.url}/sql/", {"headers": {"X": SECRETS["wrong"]}}),
        ("hf://acme/sql", {"huggingface_token": SECRETS["hub"]}),
        ("s3://bucket/sql/", dict(aws)),
        ("s3://bucket/sql/", {"aws_secret_access_key": SECRETS["aws"]}),
        ("tos://bucket/sql/", dict(tos)),
        ("gs://bucket/sql/", {"gcp_service_account_json": json.dumps(account)}),
        ("gs://bucket/sql/", {"gcp_service_account_json": SECRETS["google"]}),
    ]
    message = ""
    log = tmp_path / "sidecar.log"
    with (
        an_engine_process(tmp_path / "engine.log", "--api-key", SECRETS["engine"]) as engine,
        a_sidecar_process(log, tmp_path / "cache", engine.url, free_port(), HF_ENDPOINT=web.url) as sidecar,
    ):
        statuses = []
        for number, (url, credentials) in enumerate(loads):
            for key in (SECRETS["engine"], SECRETS["wrong"]):
                body = {"lora_name": f"a-{number}", "artifact_url": url, "credentials": credentials}
                headers = {"authorization": f"Bearer {key}"}
                answer = httpx.post(sidecar.url + LOAD, json=body, headers=headers, timeout=60)
                statuses.append(answer.status_code)
                message += answer.text + str(answer.headers)
        for path in ("/metrics", "/v1/downloads", "/v1/models", "/ready"):
            message += httpx.get(sidecar.url + path, timeout=30).text
        process = Path("/proc") / str(sidecar.popen.pid)
        message += (process / "cmdline").read_text() + (process / "environ").read_text()
        for path in (tmp_path / "cache").rglob("*"):
            message += str(path) + (path.read_bytes().decode(errors="replace") if path.is_file() else "")
    assert statuses[0] == 200
    assert all(status >= 400 for status in statuses[1:])
    message += log.read_text()
    assert "not loaded" in message
    assert [name for name, secret in SECRETS.items() if secret in message] == []


def test_the_engines_key_comes_from_the_environment_and_is_not_shown(web: WebServer, tmp_path: Path) -> None:
    key, log = SECRETS["engine"], tmp_path / "sidecar.log"
    with (
        an_engine_process(tmp_path / "engine.log", "--api-key", key) as engine,
        a_sidecar_process(log, tmp_path / "cache", engine.url, free_port(), INFERENCE_ENGINE_API_KEY=f"{key}\n") as one,
    ):
        body = {"lora_name": "sql", "artifact_url": f"{web.url}/sql/"}
        answers = [httpx.post(one.url + LOAD, json=body, timeout=60)]
        answers += [httpx.get(one.url + path, timeout=30) for path in ("/v1/models", "/metrics", "/ready")]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert key not in log.read_text() + "".join(answer.text for answer in answers)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_ends_with_0(number: signal.Signals, tmp_path: Path) -> None:
    with a_sidecar_process(tmp_path / "log", tmp_path / "cache", "http://127.0.0.1:9", free_port()) as sidecar:
        sidecar.popen.send_signal(number)
        assert sidecar.popen.wait(20) == 0
        assert (tmp_path / "log").read_text() == ""


@pytest.mark.parametrize(
    ("arguments", "environment", "complaint"),
    [
        (
            ["--cache-size", "much"],
            {},
            '--cache-size=much: "much" is not a size; allowed: a size such as',
        ),
        (["--allow-network", "nowhere"], {}, "'nowhere' does not appear to be an IPv4 or IPv6 network"),
        ([], {"INFERENCE_ENGINE_API_KEY": "two words"}, "INFERENCE_ENGINE_API_KEY must be printable ASCII without"),
        ([], {"INFERENCE_ENGINE": "tgi"}, "INFERENCE_ENGINE must be one of vllm, sglang, not 'tgi'"),
        (
            [],
            {"INFERENCE_ENGINE_ENDPOINT": "engine"},
            "INFERENCE_ENGINE_ENDPOINT must be an http or https URL",
        ),
        (["--host", "192.0.2.1"], {}, "cannot listen on 192.0.2.1:8080: Cannot assign requested address"),
        (["--cache", "/proc/nowhere"], {}, "/proc/nowhere: No such file or directory"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(arguments: list[str], environment: dict[str, str], complaint: str) -> None:
    command = [sys.executable, "-m", "controller.sidecar", *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"lora-runtime: {complaint}")
    assert ended.stderr.count("\n") == 1
