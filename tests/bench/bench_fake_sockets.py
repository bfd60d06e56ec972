"""The fake engine on real sockets: completions per second, lateness of streams, start-up time and memory.

The engine's own times are short where the server is measured, so the server is what remains. Clients run in this
process and take CPU as well: a rate is what both reach together.
"""

import asyncio
import itertools
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.bench.load import post_request, run_requests, run_streams

CONNECTIONS, EACH = 64, 200
STREAMS, TOKENS, STEP = 200, 800, 0.0125  # some 20 % of a core
_QUICK = "timing: {step_base: 500us, per_sequence: 0us, per_prefill_token: 0us}\n"
_STEADY = f"timing: {{step_base: {int(STEP * 1e6)}us, per_sequence: 0us, per_prefill_token: 0us}}\n"


def measure() -> dict[str, float]:
    """Figures for `make bench`."""
    figures = {}
    with served(_QUICK) as (port, pid, started):
        figures["start to first /health, s"] = started
        request = post_request("/v1/completions", {"prompt": "hello world, this is a bench", "max_tokens": 16})
        asyncio.run(run_requests(port, request, 8, 20))
        before, seconds = cpu(pid), asyncio.run(run_requests(port, request, CONNECTIONS, EACH))
        figures["completions a second, not streamed"] = CONNECTIONS * EACH / seconds
        figures["CPU of one completion, us"] = (cpu(pid) - before) / (CONNECTIONS * EACH) * 1e6
    with served(_STEADY) as (port, pid, _):
        body = {"prompt": "hello", "max_tokens": TOKENS, "stream": True, "ignore_eos": True}
        before, began = cpu(pid), time.perf_counter()
        late = lateness(asyncio.run(run_streams(port, post_request("/v1/completions", body), STREAMS)))
        figures[f"{STREAMS} streams: share of a core"] = (cpu(pid) - before) / (time.perf_counter() - began)
        figures[f"{STREAMS} streams: lateness of a token, p99, ms"] = statistics.quantiles(late, n=100)[98] * 1000
        figures["resident, MB"] = resident(pid)
    return figures


def lateness(streams: Sequence[Sequence[float]]) -> list[float]:
    """Return the delay of each event relative to the engine's steps; the earliest event defines their start."""
    dues = [[at - number * STEP for number, at in enumerate(times)] for times in streams]
    first = min(map(min, dues))
    joined = [(min(stream) - first) // STEP * STEP for stream in dues]  # whole steps later than the first
    return [due - first - later for stream, later in zip(dues, joined, strict=True) for due in stream]


@contextmanager
def served(parameters: str) -> Iterator[tuple[int, int, float]]:
    """Start a fake in its own process; yield its port, its process id and the seconds until it answered."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "times.yaml")
        file.write_text(parameters)
        command = [sys.executable, "-m", "fake_vllm", "serve", "base", "--host", "127.0.0.1", "--port", str(port)]
        began = time.perf_counter()
        process = subprocess.Popen([*command, "--parameters", str(file), "--max-num-seqs", "256"])
        try:
            wait_for(port)
            yield port, process.pid, time.perf_counter() - began
        finally:
            process.terminate()
            process.wait(10)


def wait_for(port: int) -> None:
    for _ in itertools.repeat(None, 1000):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
            return
        except urllib.error.URLError:
            threading.Event().wait(0.01)
    raise TimeoutError("the fake does not answer")


def cpu(pid: int) -> float:
    """Return the CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
