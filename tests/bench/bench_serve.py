"""`twin serve` with 1 000 pods and 2 000 adapters at speed 1: kubectl, 50 watchers and a writer."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.twin.serve.worlds import World, a_served_world

ROOT = Path(__file__).parents[2]
PODS, ADAPTERS, WATCHERS, WRITES = 1000, 2000, 50, 60
SCENARIO = f"""\
name: serve-bench
duration: 10h
manifests: [{ROOT / "scenarios/manifests/qwen-coder-100.yaml"}]
cluster:
  nodes: {{count: 125, gpus: 8}}
  engines: {{default: {{startup: 2s, load: 200ms}}}}
  artifacts: {{bandwidth: 100Gbit/s, size: {{default: 10MiB}}}}
adapters:
  - name: many-{{i:04}}
    count: {ADAPTERS}
    spec:
      baseModel: qwen-coder-1-5b-instruct
      podSelector: {{matchLabels: {{model.aibrix.ai/name: qwen-coder-1-5b-instruct}}}}
      artifactURL: huggingface://acme/many-{{i:04}}
      replicas: 1
    arrive: {{at: 40s}}
"""
ADAPTER_PATH = "/apis/model.aibrix.ai/v1alpha1/namespaces/default/modeladapters"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def measure() -> dict[str, float]:
    """Figures for `make bench`."""
    with tempfile.TemporaryDirectory() as folder, a_served_world(Path(folder), scenario=_scaled(folder)) as world:
        settled = _settled(world)
        with _client(world) as client, _watching(world, client) as received:
            idle = _cpu(world)
            return {
                "seconds until all adapters run": settled,
                "kubectl get modeladapters s (median of 5)": _kubectl(world),
                "write to watch event ms (median)": _latencies(client, received),
                "resident MiB": _memory(world),
                "CPU share with 50 watchers, idle": idle,
            }


def _scaled(folder: str) -> str:
    """Return the scenario, with the shipped manifest scaled to a thousand pods."""
    text = (ROOT / "scenarios/manifests/qwen-coder-100.yaml").read_text(encoding="utf-8")
    assert text.count("replicas: 100\n") == 1, "the manifest that this scales up has changed"
    file = Path(folder) / "thousand.yaml"
    file.write_text(text.replace("replicas: 100\n", f"replicas: {PODS}\n"), encoding="utf-8")
    return SCENARIO.replace(str(ROOT / "scenarios/manifests/qwen-coder-100.yaml"), str(file))


def _settled(world: World) -> float:
    """Wait until every adapter is Running; return the seconds."""
    started = time.perf_counter()
    with _client(world) as client:
        while True:
            adapters = client.get("/twin/v1/world").json()["adapters"]
            if adapters.get("Running", 0) == ADAPTERS:
                return time.perf_counter() - started
            if time.perf_counter() - started > 900:
                raise RuntimeError(f"not all run after 900 s: {adapters}")
            time.sleep(1)  # noqa: TID251


def _kubectl(world: World) -> float:
    took = []
    for _ in range(5):
        started = time.perf_counter()
        ran = world.kubectl("get", "modeladapters")
        took.append(time.perf_counter() - started)
        assert len(ran.out.splitlines()) == ADAPTERS + 1, ran.err
    return statistics.median(took)


@contextmanager
def _client(world: World) -> Iterator[httpx.Client]:
    config = json.loads(world.kubeconfig.read_text())
    headers = {"authorization": f"Bearer {config['users'][0]['user']['token']}"}
    with httpx.Client(base_url=world.server, headers=headers, verify=False, trust_env=False, timeout=60) as client:
        yield client


@contextmanager
def _watching(world: World, client: httpx.Client) -> Iterator[dict[str, float]]:
    """Start 49 watchers of adapters in another process and one of ConfigMaps here; yield the times of its events."""
    token = client.headers["authorization"]
    command = [sys.executable, "-c", _WATCHERS, world.server, token, str(WATCHERS - 1), ADAPTER_PATH]
    crowd = subprocess.Popen(command, env=dict(os.environ), stdout=subprocess.PIPE, text=True)
    assert crowd.stdout is not None
    crowd.stdout.readline()
    received: dict[str, float] = {}
    ready = threading.Event()

    def listen() -> None:
        try:
            watch = {"params": {"watch": "1"}, "timeout": None}
            with _client(world) as own, own.stream("GET", CONFIG_MAPS, **watch) as answer:
                ready.set()
                for line in answer.iter_lines():
                    received[json.loads(line)["object"]["metadata"]["name"]] = time.perf_counter()
        except httpx.TransportError:
            return  # the world has ended

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    ready.wait(30)
    try:
        yield received
    finally:
        crowd.kill()
        crowd.communicate()


_WATCHERS = """
import asyncio, sys
import httpx

async def watch(client, path, begun):
    async with client.stream("GET", path, params={"watch": "1"}) as answer:
        begun.append(1)
        async for _ in answer.aiter_bytes():
            pass

async def main(server, token, count, path):
    begun = []
    async with httpx.AsyncClient(base_url=server, headers={"authorization": token}, verify=False, trust_env=False,
                                 timeout=None, limits=httpx.Limits(max_connections=None)) as client:
        tasks = [asyncio.create_task(watch(client, path, begun)) for _ in range(int(count))]
        while len(begun) < int(count):
            await asyncio.sleep(0.05)
        print("watching", flush=True)
        await asyncio.gather(*tasks)

asyncio.run(main(*sys.argv[1:]))
"""


def _latencies(client: httpx.Client, received: dict[str, float]) -> float:
    """Return the milliseconds from sending a write until its watch event arrives."""
    sent: dict[str, float] = {}
    for number in range(WRITES):
        name = f"note-{number}"
        body: dict[str, Any] = {"metadata": {"name": name}, "data": {"number": str(number)}}
        sent[name] = time.perf_counter()
        client.post(CONFIG_MAPS, json=body).raise_for_status()
        time.sleep(0.05)  # noqa: TID251
    time.sleep(1)  # noqa: TID251
    return statistics.median(1000 * (received[name] - sent[name]) for name in sent)


def _memory(world: World) -> float:
    status = Path(f"/proc/{world.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def _cpu(world: World) -> float:
    """Return the share of one core that is used in ten idle seconds."""

    def used() -> float:
        fields = Path(f"/proc/{world.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = used()
    time.sleep(10)  # noqa: TID251
    return (used() - before) / 10
