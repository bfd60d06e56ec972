"""Starts the servers that the table is played to: a real vLLM, or the fake."""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.conformance.exchange import Profile
from tests.conformance.servers.processes import ForkServer, Process

MODEL_FLAGS = ("--max-model-len", "512", "--max-lora-rank", "16")
_REAL_FLAGS = ("--enforce-eager", "--dtype", "bfloat16")
_REAL_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "INFO",
}
_START_SECONDS = 600.0
_DATA = Path(__file__).parents[1] / "data"
FAKE_MODEL = str(_DATA / "tiny")


_REAL_MODULES = (
    "vllm.entrypoints.cli.main",
    "vllm.entrypoints.cli.serve",
    "vllm.entrypoints.openai.api_server",
    "vllm.v1.engine.async_llm",
    "vllm.v1.engine.core",
    "vllm.v1.executor.multiproc_executor",
    "vllm.v1.worker.cpu_worker",
    "vllm.lora.worker_manager",
    "vllm.model_executor.models.registry",
    "vllm.model_executor.models.llama",
)


@dataclass(frozen=True, slots=True)
class Engine:
    """One kind of server.

    Attributes:
        forks: starts its processes.
        model: model path or name.
        flags: given to every one of them.
        environment: set beside the profile's.
        patience: seconds that the end of a process may take.
    """

    forks: ForkServer
    model: str
    flags: tuple[str, ...]
    environment: Mapping[str, str]
    patience: float


@contextmanager
def real_vllm(installation: Path) -> Iterator[Engine]:
    """Yield the vLLM that `install.py` has put into `installation`."""
    environment = {**_inherited(), **_REAL_ENVIRONMENT}
    forks = ForkServer(str(installation / "venv/bin/python"), "vllm", _REAL_MODULES, environment)
    try:
        yield Engine(forks, str(installation / "tiny"), _REAL_FLAGS, _REAL_ENVIRONMENT, 60.0)
    finally:
        forks.close()


@contextmanager
def fake_vllm(version: str) -> Iterator[Engine]:
    """Yield the fake of this checkout, behaving like the CPU build of `version`, without repositories of adapters."""
    forks = ForkServer(sys.executable, "fake-vllm", ["fake_vllm.__main__", "fake_vllm.main"], _inherited())
    try:
        yield Engine(forks, FAKE_MODEL, fake_flags(version), {}, 6.0)
    finally:
        forks.close()


def fake_flags(version: str) -> tuple[str, ...]:
    """Return the flags with which the fake is like the CPU build of `version`."""
    catalogue = str(_DATA / "catalogue.yaml")
    return ("--emulate", f"{version}+cpu", "--catalogue", catalogue, "--vocab-size", "512")


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("VLLM_")}


class Running:
    """A server process that answers.

    Attributes:
        url: base URL.
        process: the process, a leader of its own group.
        patience: seconds that its end may take.
    """

    def __init__(self, url: str, process: Process, log: Path, patience: float) -> None:
        self.url = url
        self.process = process
        self.patience = patience
        self._log = log

    def settle(self) -> int | None:
        """Wait until the server is healthy or has ended; return its exit code, None if it is healthy.

        Raises:
            RuntimeError: if it does neither in time.
        """
        deadline = time.perf_counter() + _START_SECONDS
        while time.perf_counter() < deadline:
            if (code := self.process.poll()) is not None:
                return code
            try:
                if httpx.get(f"{self.url}/health", timeout=5, trust_env=False).status_code == 200:
                    return None
            except httpx.TransportError:
                pass
            time.sleep(0.1)  # noqa: TID251 - a real process in real time
        raise RuntimeError(f"the server did not answer within {_START_SECONDS:g} s:\n{self.output()[-3000:]}")

    def wait(self, seconds: float) -> int | None:
        """Return the exit code; None if the process still runs after `seconds`."""
        return self.process.wait(seconds)

    def output(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")


@contextmanager
def serving(engine: Engine, profile: Profile, log: Path) -> Iterator[Running]:
    """Start a server, wait until it is healthy, and end it with its whole process group.

    Raises:
        RuntimeError: if it ends or does not answer in time; the message has the end of its output.
    """
    with started(engine, (*MODEL_FLAGS, *profile.flags), profile.environment, log) as running:
        if running.settle() is not None:
            raise RuntimeError(f"the server ended while it started:\n{running.output()[-3000:]}")
        yield running


@contextmanager
def started(engine: Engine, flags: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[Running]:
    """Start a server with `flags`; end it with its whole process group."""
    port = _free_port()
    names = () if "--served-model-name" in flags else ("--served-model-name", "base")
    place = ("--host", "127.0.0.1", "--port", str(port))
    args = ("serve", engine.model, *names, *place, *engine.flags, *flags)
    process = engine.forks.start(args, {**_inherited(), **engine.environment, **environment}, log)
    try:
        yield Running(f"http://127.0.0.1:{port}", process, log, engine.patience)
    finally:
        _end(process)


def _end(process: Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not process.kill_group(number):
            return
        process.wait(20)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
