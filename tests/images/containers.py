"""Docker or Podman, and containers with the restrictions of the shipped manifests; not a test."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILES = {
    "fake-vllm": "fake_vllm/Dockerfile",
    "lora-controller": "controller/deploy/Dockerfile",
    "lora-twin": "twin/Dockerfile",
}
_RESTRICTED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")
_ASK = """
import sys, time, urllib.error, urllib.request
url, body = sys.argv[1], sys.argv[2]
headers = {"Content-Type": "application/json"}
for attempt in range(300):
    try:
        asked = urllib.request.Request(url, body.encode() or None, headers)
        print(urllib.request.urlopen(asked, timeout=20).read().decode())
        break
    except urllib.error.HTTPError as error:
        print(error.read().decode())
        break
    except OSError:
        time.sleep(0.1)
else:
    sys.exit(f"{url} does not answer")
"""
"""Wait until something listens there, for at most 30 seconds."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Output and exit code of a container."""

    out: str
    err: str
    code: int


@dataclass(frozen=True, slots=True)
class Containers:
    """The container program and the images that it has built."""

    program: str
    images: Mapping[str, str]

    def execute(self, *command: str, timeout: float = 90) -> Ended:
        done = subprocess.run([self.program, *command], capture_output=True, text=True, timeout=timeout, check=False)
        return Ended(done.stdout, done.stderr, done.returncode)

    def run(self, image: str, *arguments: str, options: Sequence[str] = ()) -> Ended:
        """Run a container until it exits."""
        return self.execute("run", "--rm", *self._restricted(), *options, self.images[image], *arguments)

    @contextmanager
    def running(self, image: str, *arguments: str, options: Sequence[str] = ()) -> Iterator["Container"]:
        result = self.execute("run", "--detach", *self._restricted(), *options, self.images[image], *arguments)
        assert result.code == 0, result.err
        container = Container(self, result.out.split()[-1])
        try:
            yield container
        finally:
            self.run("kill", container.name)  # for podman's `rm` waits for it to end
            self.run("rm", "--force", container.name)

    def _restricted(self) -> tuple[str, ...]:
        """Return the option that keeps Podman from adding writable folders to a read-only container."""
        return (*_RESTRICTED, "--read-only-tmpfs=false") if self.program == "podman" else _RESTRICTED


@dataclass(frozen=True, slots=True)
class Container:
    """A running container."""

    containers: Containers
    name: str

    def execute(self, *command: str) -> Ended:
        return self.containers.execute("exec", self.name, *command)

    def ask(self, url: str, body: Any = None) -> str:
        """Return the response of a server in the container, as soon as it listens."""
        result = self.execute("python", "-c", _ASK, url, "" if body is None else json.dumps(body))
        assert result.code == 0, (result.err, self.log())
        return result.out.strip()

    def log(self) -> str:
        result = self.containers.execute("logs", self.name)
        return result.out + result.err

    def stop(self, grace: int) -> int:
        """Send SIGTERM, and SIGKILL after the grace period, as the kubelet does; return the exit code."""
        self.containers.execute("stop", "--time", str(grace), self.name)
        return int(self.containers.execute("inspect", "--format", "{{.State.ExitCode}}", self.name).out)


def built() -> Containers:
    """Build the images; skip the tests if they are not enabled or nothing can build them."""
    if not os.environ.get("LORA_TWIN_IMAGES"):
        pytest.skip("`make images` builds the images and runs them")
    program = next((each for each in ("docker", "podman") if shutil.which(each) and _works(each)), None)
    if program is None:
        pytest.skip("neither docker nor podman runs here")
    images = {name: f"{name}:tested" for name in DOCKERFILES}
    for name, file in DOCKERFILES.items():
        command = [program, "build", "--file", str(ROOT / file), "--tag", images[name], str(ROOT)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return Containers(program, images)


def _works(program: str) -> bool:
    """Return True if the program works; a client is often installed without its engine."""
    return subprocess.run([program, "info"], capture_output=True, timeout=60, check=False).returncode == 0
