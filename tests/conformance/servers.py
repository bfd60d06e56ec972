"""Starts the servers that the table is played to: a real vLLM, or the fake."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.conformance.exchange import Profile

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


@dataclass(frozen=True, slots=True)
class Engine:
    """One kind of server: how it is called and how long it may take to start.

    Attributes:
        command: program and its first arguments, before the model.
        model: model path or name.
        environment: set beside the profile's.
        patience: seconds that the end of a process may take.
    """

    command: Sequence[str]
    model: str
    flags: tuple[str, ...]
    environment: Mapping[str, str]
    patience: float


def real_vllm(installation: Path) -> Engine:
    """Return the vLLM that `install.py` has put into `installation`."""
    command = [str(installation / "venv/bin/vllm"), "serve"]
    return Engine(command, str(installation / "tiny"), _REAL_FLAGS, _REAL_ENVIRONMENT, 60.0)


def fake_vllm(version: str) -> Engine:
    """Return the fake of this checkout, behaving like `version`."""
    return Engine(
        [sys.executable, "-m", "fake_vllm", "serve"],
        "acme/tiny",
        ("--emulate", version, "--vocab-size", "512"),
        {},
        6.0,
    )


class Running:
    """A server process that answers.

    Attributes:
        url: base URL.
        process: the process, a leader of its own group.
        patience: seconds that its end may take.
    """

    def __init__(self, url: str, process: "subprocess.Popen[bytes]", log: Path, patience: float) -> None:
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
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

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
    command = [*engine.command, engine.model, *names, *place, *engine.flags, *flags]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("VLLM_")}
    variables |= engine.environment | dict(environment)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield Running(f"http://127.0.0.1:{port}", process, log, engine.patience)
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            continue


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
