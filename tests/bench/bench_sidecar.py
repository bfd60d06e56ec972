"""The sidecar: a large adapter from S3 compared with the bare client, memory, and translation of metrics.

The S3 server is moto's, in a process of its own; both the sidecar and the bare client (boto3's `download_file`, eight
files at once) read the same objects from it, in turn.
"""

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import httpx

from controller.sidecar.metrics_translation import RULES, rename_metrics
from tests.controller.sidecar.processes import Process, a_process, a_sidecar_process, an_engine_process
from tests.controller.sidecar.worlds import LOAD, UNLOAD, safetensors
from tests.ports import free_port

FILES = 8
SIZE = (1 << 30) // FILES
ROUNDS = 3
_KEYS = {"aws_access_key_id": "bench", "aws_secret_access_key": "bench"}


def measure() -> dict[str, float]:
    """Figures for `make bench`."""
    with tempfile.TemporaryDirectory() as folder:
        return {**_translation(), **_fetches(Path(folder))}


def _translation() -> dict[str, float]:
    """Return the milliseconds for a page of 3 000 lines, most of which are translated."""
    names = [name for name in RULES if name.startswith("vllm:")]
    lines = [f'{names[n % len(names)]}{{engine="0",model_name="m-{n}"}} {n}.0' for n in range(3000)]
    page = ("\n".join(lines) + "\n").encode()
    times = []
    for _ in range(101):
        started = time.perf_counter()
        rename_metrics(page)
        times.append(time.perf_counter() - started)
    return {"translation of 3 000 lines, median ms": 1000 * statistics.median(times)}


def _fetches(folder: Path) -> dict[str, float]:
    root = folder / "cache"
    with (
        _s3(folder) as server,
        an_engine_process(folder / "engine.log") as engine,
        a_sidecar_process(folder / "sidecar.log", root, engine.url, free_port()) as sidecar,
    ):
        idle = _resident(sidecar)
        client: Any = boto3.client("s3", endpoint_url=server.url, region_name="us-east-1", **_KEYS)
        _fill(client)
        peak, stop = _watch(sidecar)
        bare, own = [], []
        for _ in range(ROUNDS):
            bare.append(_bare(client, folder / "bare"))
            own.append(_load(sidecar, server.url))
        stop.set()
        return {
            "bare boto3, GiB/s": 1 / min(bare),
            "sidecar, GiB/s": 1 / min(own),
            "sidecar over bare": min(bare) / min(own),
            "resident at most while fetching, MB": peak[0],
            "resident while idle, MB": idle,
        }


@contextmanager
def _s3(folder: Path) -> Iterator[Process]:
    port = free_port()
    with a_process(folder / "s3.log", "moto.server", "-p", str(port), port=port) as server:
        server.wait("/moto-api/")
        yield server


def _fill(client: Any) -> None:
    client.create_bucket(Bucket="bench")
    content = safetensors(SIZE - 200)
    for name in ("adapter_model", *(f"more-{number}" for number in range(1, FILES))):
        client.put_object(Bucket="bench", Key=f"big/{name}.safetensors", Body=content)
    client.put_object(Bucket="bench", Key="big/adapter_config.json", Body=b'{"peft_type": "LORA", "r": 8}')


def _bare(client: Any, folder: Path) -> float:
    """Return the seconds of the client library alone."""
    folder.mkdir(exist_ok=True)
    keys = [item["Key"] for item in client.list_objects_v2(Bucket="bench", Prefix="big/")["Contents"]]
    started = time.perf_counter()
    with ThreadPoolExecutor(FILES) as pool:
        list(pool.map(lambda key: client.download_file("bench", key, str(folder / key.rpartition("/")[2])), keys))
    taken = time.perf_counter() - started
    for path in folder.iterdir():
        path.unlink()
    return taken


def _load(sidecar: Process, server: str) -> float:
    """Return the seconds from the request to the engine's answer."""
    credentials = {**_KEYS, "endpoint": server}
    body = {"lora_name": "big", "artifact_url": "s3://bench/big/", "credentials": credentials}
    started = time.perf_counter()
    answer = httpx.post(sidecar.url + LOAD, json=body, timeout=300)
    taken = time.perf_counter() - started
    if answer.status_code != 200:
        print(answer.text, file=sys.stderr)
    answer.raise_for_status()
    httpx.post(sidecar.url + UNLOAD, json={"lora_name": "big"}, timeout=60).raise_for_status()
    return taken


def _watch(process: Process) -> tuple[list[float], threading.Event]:
    """Sample the resident memory of a process twenty times a second; return its peak."""
    peak, stop = [0.0], threading.Event()

    def look() -> None:
        while not stop.wait(0.05):
            peak[0] = max(peak[0], _resident(process))

    threading.Thread(target=look, daemon=True).start()
    return peak, stop


def _resident(process: Process) -> float:
    """Return the resident memory in megabytes."""
    for line in (Path("/proc") / str(process.popen.pid) / "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000
    return 0.0
