"""The sidecar and a fake engine as the processes that a pod would run; not a test."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.ports import free_port


@dataclass
class Process:
    """A command that listens."""

    popen: "subprocess.Popen[bytes]"
    url: str
    log: Path

    def wait(self, path: str, seconds: float = 20.0) -> None:
        """Wait until it answers."""
        with httpx.Client(transport=httpx.HTTPTransport(retries=0)) as client:
            for _ in range(int(seconds / 0.05)):
                assert self.popen.poll() is None, self.log.read_text()
                try:
                    client.get(self.url + path)
                    return
                except httpx.TransportError:
                    self.popen.poll()
                    _nap()
        raise AssertionError(f"{self.url} does not answer: {self.log.read_text()}")


def _nap() -> None:
    """Wait for a short time without a clock."""
    with socket.socket() as listener:
        listener.settimeout(0.05)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        try:
            listener.accept()
        except TimeoutError:
            return


@contextmanager
def a_process(log: Path, module: str, *arguments: str, port: int, **environment: str) -> Iterator[Process]:
    command = [sys.executable, "-m", module, *arguments]
    with log.open("ab") as sink:
        popen = subprocess.Popen(command, env={**os.environ, **environment}, stdout=sink, stderr=sink)
    try:
        yield Process(popen, f"http://127.0.0.1:{port}", log)
    finally:
        popen.kill()
        popen.wait()


@contextmanager
def an_engine_process(log: Path, *arguments: str) -> Iterator[Process]:
    port = free_port()
    serve = ("serve", "base", "--enable-lora", "--max-cpu-loras", "64", "--host", "127.0.0.1", "--port", str(port))
    more = ("--load-latency", "50ms", *arguments)
    with a_process(log, "fake_vllm", *serve, *more, port=port, VLLM_ALLOW_RUNTIME_LORA_UPDATING="True") as process:
        process.wait("/health")
        yield process


@contextmanager
def a_sidecar_process(log: Path, root: Path, engine: str, port: int, **environment: str) -> Iterator[Process]:
    flags = ("--host", "127.0.0.1", "--port", str(port), "--cache", str(root), "--keep-free", "0")
    settings: dict[str, Any] = {"INFERENCE_ENGINE_ENDPOINT": engine, **environment}
    with a_process(
        log, "controller.sidecar", *flags, "--allow-network", "127.0.0.0/8", port=port, **settings
    ) as process:
        process.wait("/healthz")
        yield process
