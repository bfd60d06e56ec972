"""The fake on real sockets: completions per second, lateness of streams, startup time and memory.

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

from tests.bench.load import asked, posted, streamed

CONNECTIONS, EACH = 64, 200
STREAMS, TOKENS, STEP = 200, 800, 0.0125  # some 20 % of a core
_QUICK = "timing: {step_base: 500us, per_sequence: 0us, per_prefill_token: 0us}\n"
_STEADY = f"timing: {{step_base: {int(STEP * 1e6)}us, per_sequence: 0us, per_prefill_token: 0us}}\n"


def measure() -> dict[str, float]:
    """Figures for `make bench`."""
    figures = {}
    with served(_QUICK) as (port, pid, started):
        figures["start to first /health, s"] = started
        request = posted("/v1/completions", {"prompt": "hello world, this is a bench", "max_tokens": 16})
        asyncio.run(asked(port, request, 8, 20))
        before, seconds = cpu(pid), asyncio.run(asked(port, request, CONNECTIONS, EACH))
        figures["completions a second, not streamed"] = CONNECTIONS * EACH / seconds
        figures["CPU of one completion, us"] = (cpu(pid) - before) / (CONNECTIONS * EACH) * 1e6
    with served(_STEADY) as (port, pid, _):
        body = {"prompt": "hello", "max_tokens": TOKENS, "stream": True, "ignore_eos": True}
        before, began = cpu(pid), time.perf_counter()
        late = lateness(asyncio.run(streamed(port, posted("/v1/completions", body), STREAMS)))
        figures[f"{STREAMS} streams: share of a core"] = (cpu(pid) - before) / (time.perf_counter() - began)
        figures[f"{STREAMS} streams: lateness of a token, p99, ms"] = statistics.quantiles(late, n=100)[98] * 1000
        figures["resident, MB"] = resident(pid)
    return figures


def lateness(streams: Sequence[Sequence[float]]) -> list[float]:
    """Return the delay of each event against the engine's steps, whose time is that of the earliest event."""
    dues = [[at - number * STEP for number, at in enumerate(times)] for times in streams]
    first = min(map(min, dues))
    joined = [(min(each) - first) // STEP * STEP for each in dues]  # whole steps later than the first
    return [due - first - later for each, later in zip(dues, joined, strict=True) for due in each]


@contextmanager
def served(parameters: str) -> Iterator[tuple[int, int, float]]:
    """Run a fake in a process of its own; yield its port, its process id and the seconds until it answered."""
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
