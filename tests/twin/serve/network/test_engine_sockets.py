"""Engines and sidecars of a served world are reachable at 127.x.y.z, or at 10.x.y.z through the proxy."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.twin.serve.worlds import World, a_served_world, run

MANIFEST = Path(__file__).parents[4] / "scenarios" / "manifests" / "qwen-coder-private.yaml"
SCENARIO = f"""\
name: doors
duration: 10h
manifests: [{MANIFEST}]
cluster:
  nodes: {{count: 1, gpus: 4}}
  engines: {{default: {{startup: 5s, load: 1s}}}}
"""
NODE = """\
const [proxy, url] = process.argv.slice(1);
const { hostname, port } = new URL(proxy);
const headers = { host: new URL(url).host };
require("http").get({ hostname, port, path: url, headers }, (answer) => answer.pipe(process.stdout));
"""
CLIENTS = {
    "curl": ("-s", "{url}"),
    "perl": ("-MHTTP::Tiny", "-e", "print HTTP::Tiny->new->get($ARGV[0])->{{content}}", "{url}"),
    "node": ("-e", NODE.replace("{", "{{").replace("}", "}}"), "{proxy}", "{url}"),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with a_served_world(
        tmp_path_factory.mktemp("doors"), "--no-controller", "--speed", "60", scenario=SCENARIO
    ) as served:
        served.kubectl("rollout", "status", "deployment/qwen-coder-private", "--timeout=60s")
        yield served


def pod_of(world: World, which: int = 0) -> tuple[str, str]:
    """Return the name and the IP of a pod."""
    fields = "jsonpath={.metadata.name} {.status.podIP}"
    names = world.kubectl("get", "pods", "-o", "name").out.split()
    name, ip = world.kubectl("get", names[which], "-o", fields).out.split()
    return name, ip


def addresses_of(world: World, name: str) -> tuple[str, str]:
    """Return the addresses of a pod's engine and sidecar in its annotations."""
    annotations = json.loads(world.kubectl("get", "pod", name, "-o", "json").out)["metadata"]["annotations"]
    return annotations["lora-twin/address"], annotations["lora-twin/sidecar-address"]


@pytest.mark.parametrize("client", CLIENTS)
def test_anybody_reaches_a_pods_address_by_the_gateway_as_proxy(world: World, client: str) -> None:
    command = shutil.which(client)
    if command is None:
        pytest.skip(f"{client} is not installed")
    _, ip = pod_of(world)
    environment = {**world.environment, "http_proxy": world.gateway}
    for port, path, key in ((8000, "/version", "version"), (8080, "/healthz", "status")):
        args = [part.format(url=f"http://{ip}:{port}{path}", proxy=world.gateway) for part in CLIENTS[client]]
        ran = run([command, *args], environment)
        assert key in json.loads(ran.out or "{}"), ran.all


def test_engine_and_sidecar_listen_at_the_addresses_in_the_pods_annotations(world: World) -> None:
    """The address is 127.x.y.z with the pod's own ports, unless another world on this machine uses them."""
    name, ip = pod_of(world)
    engine, sidecar = addresses_of(world, name)
    assert engine.startswith(f"127.{ip.partition('.')[2]}:")
    with httpx.Client(trust_env=False) as client:
        assert client.get(f"http://{engine}/v1/models").json()["data"][0]["id"] == "qwen-coder-private"
        assert client.get(f"http://{sidecar}/healthz").json() == {"status": "ok"}


def test_a_simulated_sidecar_shows_what_it_fetches_and_translates_the_engines_metrics(world: World) -> None:
    _, sidecar = addresses_of(world, pod_of(world)[0])
    with httpx.Client(base_url=f"http://{sidecar}", trust_env=False, timeout=30) as client:
        order = {"lora_name": "seen", "artifact_url": "s3://bucket/seen/"}
        assert client.post("/v1/lora_adapter/load", json=order).status_code == 200
        (download,) = client.get("/v1/downloads").json()["downloads"]
        assert (download["artifact"], download["state"]) == ("s3://bucket/seen/", "done")
        assert download["bytes"] == download["size"] > 0
        page = client.get("/metrics").text
        assert 'lora_runtime_requests_total{code="ok",verb="load"} 1.0' in page
        assert "\naibrix:queue_size{" in page
        assert "\nvllm:num_requests_waiting{" not in page
        assert client.post("/v1/lora_adapter/unload", json={"lora_name": "seen"}).status_code == 200


def test_an_engine_that_refuses_is_refused_by_the_system_and_its_sidecar_is_not(world: World) -> None:
    name, ip = pod_of(world)
    engine, sidecar = addresses_of(world, name)
    fault = world.twin("fault", "connection-refused", f"pods={{names: ['default/{name}']}}", "--for", "1h")
    assert fault.code == 0, fault.all
    with httpx.Client(trust_env=False) as client, pytest.raises(httpx.ConnectError):
        client.get(f"http://{engine}/version")
    with httpx.Client(trust_env=False) as client:
        assert client.get(f"http://{sidecar}/healthz").status_code == 200
    with httpx.Client(proxy=world.gateway) as client:
        refused = client.get(f"http://{ip}:8000/version")
    assert (refused.status_code, "Connection refused" in refused.text) == (503, True)


def test_a_connection_reset_by_an_engine_is_reset_through_the_proxy_too(world: World) -> None:
    name, ip = pod_of(world, which=1)
    fault = world.twin("fault", "connection-reset", f"pods={{names: ['default/{name}']}}", "--for", "1h")
    assert fault.code == 0, fault.all
    load = {"lora_name": "sql", "lora_path": "acme/sql"}
    with httpx.Client(proxy=world.gateway) as client, pytest.raises(httpx.ReadError):
        client.post(f"http://{ip}:8000/v1/load_lora_adapter", json=load)


def test_sockets_close_with_their_pod(world: World) -> None:
    name, _ = pod_of(world, which=2)
    doors = addresses_of(world, name)
    assert world.kubectl("delete", "pod", name, "--timeout=50s").code == 0
    for door in doors:
        with httpx.Client(trust_env=False) as client, pytest.raises(httpx.ConnectError):
            client.get(f"http://{door}/health")
