"""Starts the servers that the table is played to: a real vLLM, or the fake."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import httpx

from tests.conformance.exchange import Profile
from tests.conformance.servers.processes import ForkServer, Process
from tests.ports import free_port

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
_TIMEOUT = 120.0
"""Seconds. A real engine on a busy CPU takes some ten for the slowest request of the table."""
_POLL_SECONDS = 0.05
_PATIENCE_OF_A_LOOK = 20
"""Share of a server's patience after which it is taken to be alive: 3 s of a real one, 0.3 s of the fake."""
WITHOUT_DELAY = ("--load-latency", "0s", "--unload-latency", "0s")
"""The fake's own flags: the table asks for answers, not for times."""
_DATA = Path(__file__).parents[1] / "data"


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
        has_admin: it has an admin port for faults.
    """

    forks: ForkServer
    model: str
    flags: tuple[str, ...]
    environment: Mapping[str, str]
    patience: float
    has_admin: bool = False


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
    """Yield the fake of this checkout, behaving like the CPU build of `version`."""
    forks = fork_server_of_the_fake()
    try:
        yield fake_engine(forks, version)
    finally:
        forks.close()


def fork_server_of_the_fake() -> ForkServer:
    """Return a fork server that starts the fake as any release; the caller closes it."""
    return ForkServer(sys.executable, "fake-vllm", ["fake_vllm.__main__", "fake_vllm.main"], _inherited())


def fake_engine(forks: ForkServer, version: str) -> Engine:
    """Return the fake, behaving like the CPU build of `version`, without repositories of adapters."""
    model, flags = fake_flags(version)
    return Engine(forks, model, (*flags, *WITHOUT_DELAY), {}, 6.0, has_admin=True)


def fake_flags(version: str) -> tuple[str, tuple[str, ...]]:
    """Return the fake's model, and the flags that make it the CPU build of `version`."""
    catalogue = str(_DATA / "catalogue.yaml")
    return str(_DATA / "tiny"), ("--emulate", f"{version}+cpu", "--catalogue", catalogue, "--vocab-size", "512")


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("VLLM_")}


class Running:
    """A server process that answers.

    Attributes:
        url: base URL.
        client: sends requests to it.
        process: the process, a leader of its own group.
        patience: seconds that its end may take.
        admin_url: URL of the fake's admin port; empty for a real server.
    """

    def __init__(self, address: str, process: Process, log: Path, patience: float, admin_url: str = "") -> None:
        self.url = f"http://{address}"
        self.client = _client(self.url)
        self._address = address
        self.process = process
        self.patience = patience
        self.admin_url = admin_url
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
            if self._is_healthy():
                return None
            time.sleep(_POLL_SECONDS)  # noqa: TID251 - a real process in real time
        raise RuntimeError(f"the server did not answer within {_START_SECONDS:g} s:\n{self.output()[-3000:]}")

    def wait(self, seconds: float) -> int | None:
        """Return the exit code; None if the process still runs after `seconds`."""
        return self.process.wait(seconds)

    def survives(self) -> bool:
        """Return whether the server stays healthy; wait for its end if it does not.

        A server whose engine core has died says for about a second that it is healthy.
        """
        deadline = time.perf_counter() + self.patience / _PATIENCE_OF_A_LOOK
        while time.perf_counter() < deadline:
            if not self._is_healthy():
                return self.wait(self.patience) is None
            time.sleep(_POLL_SECONDS)  # noqa: TID251 - a real process in real time
        return True

    def _is_healthy(self) -> bool:
        connection = HTTPConnection(self._address, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

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
    port = free_port()
    names = () if "--served-model-name" in flags else ("--served-model-name", "base")
    place = ("--host", "127.0.0.1", "--port", str(port))
    admin = free_port() if engine.has_admin else 0
    own = ("--admin-port", str(admin)) if admin else ()
    args = ("serve", engine.model, *names, *place, *own, *engine.flags, *flags)
    process = engine.forks.start(args, {**_inherited(), **engine.environment, **environment}, log)
    admin_url = f"http://127.0.0.1:{admin}" if admin else ""
    running = Running(f"127.0.0.1:{port}", process, log, engine.patience, admin_url)
    try:
        yield running
    finally:
        running.client.close()
        _end(process)


def _client(url: str) -> httpx.Client:
    """Return a client that opens a connection for each request: a server closes idle ones after five seconds."""
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(base_url=url, timeout=_TIMEOUT, trust_env=False, limits=limits, verify=False)


def _end(process: Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not process.kill_group(number):
            return
        process.wait(20)
