"""A served world in its own process, as users start it, and kubectl."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SCENARIO = """\
name: served
duration: 10h
seed: 3
cluster:
  nodes: {count: 2, gpus: 4, zones: [a, b]}
  engines: {default: {startup: 20s, load: 1s}}
objects:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: site}, data: {region: west}}
"""
READY = "Press Ctrl-C to stop."


@dataclass(frozen=True, slots=True)
class Ran:
    """Output and exit code of a command."""

    out: str
    err: str
    code: int

    @property
    def all(self) -> str:
        return self.out + self.err


@dataclass(frozen=True, slots=True)
class World:
    """A served world."""

    process: subprocess.Popen[str]
    environment: Mapping[str, str]
    kubeconfig: Path
    banner: str

    def kubectl(self, *arguments: str, stdin: str = "", timeout: float = 60) -> Ran:
        return run([str(Path(sys.executable).with_name("kubectl")), *arguments], self.environment, stdin, timeout)

    def twin(self, command: str, *arguments: str) -> Ran:
        line = [sys.executable, "-m", "twin", command, *arguments, "--kubeconfig", str(self.kubeconfig)]
        return run(line, self.environment)

    @property
    def server(self) -> str:
        server: str = json.loads(self.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        return server

    @property
    def gateway(self) -> str:
        return next(line.split()[1] for line in self.banner.splitlines() if line.startswith("gateway"))


def run(command: list[str], environment: Mapping[str, str], stdin: str = "", timeout: float = 60) -> Ran:
    done = subprocess.run(
        command, env=dict(environment), input=stdin, capture_output=True, text=True, timeout=timeout, check=False
    )
    return Ran(done.stdout, done.stderr, done.returncode)


@contextmanager
def a_served_world(folder: Path, *arguments: str, scenario: str = SCENARIO) -> Iterator[World]:
    """Run `twin serve` on a scenario until the end of the block."""
    file, config = folder / "scenario.yaml", folder / "twin.kubeconfig"
    file.write_text(scenario)
    environment = {**os.environ, "KUBECONFIG": str(config), "HOME": str(folder), "KUBECACHEDIR": str(folder / "cache")}
    command = [sys.executable, "-m", "twin", "serve", str(file), "--kubeconfig", str(config), *arguments]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield World(process, environment, config, _banner(process))
    finally:
        process.send_signal(signal.SIGINT)
        try:
            rest, _ = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            rest, _ = process.communicate()
    assert "Traceback" not in (rest or ""), rest


def _banner(process: "subprocess.Popen[str]") -> str:
    """Return the output until the world is served."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(READY):
            return "".join(lines)
    raise AssertionError(f"twin serve ended at once: {''.join(lines)}")
