"""Docker or podman, whichever runs here, and containers under the rules of the shipped manifests; not a test."""

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
DOCKERFILES = {"fake-vllm": "fake_vllm/Dockerfile", "lora-controller": "controller/deploy/Dockerfile"}
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
"""Until something listens there, for half a minute."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What a container printed, and how it ended."""

    out: str
    err: str
    code: int


@dataclass(frozen=True, slots=True)
class Containers:
    """The program, and the images that it has built."""

    program: str
    images: Mapping[str, str]

    def say(self, *words: str, timeout: float = 90) -> Ended:
        done = subprocess.run([self.program, *words], capture_output=True, text=True, timeout=timeout, check=False)
        return Ended(done.stdout, done.stderr, done.returncode)

    def run(self, image: str, *arguments: str, options: Sequence[str] = ()) -> Ended:
        """A container from its start to its end."""
        return self.say("run", "--rm", *self._restricted(), *options, self.images[image], *arguments)

    @contextmanager
    def running(self, image: str, *arguments: str, options: Sequence[str] = ()) -> Iterator["Container"]:
        said = self.say("run", "--detach", *self._restricted(), *options, self.images[image], *arguments)
        assert said.code == 0, said.err
        container = Container(self, said.out.split()[-1])
        try:
            yield container
        finally:
            self.say("kill", container.name)  # for podman's `rm` waits for it to end
            self.say("rm", "--force", container.name)

    def _restricted(self) -> tuple[str, ...]:
        """Podman puts writable folders into a read-only container, unless it is told not to."""
        return (*_RESTRICTED, "--read-only-tmpfs=false") if self.program == "podman" else _RESTRICTED


@dataclass(frozen=True, slots=True)
class Container:
    """One that runs."""

    containers: Containers
    name: str

    def execute(self, *words: str) -> Ended:
        return self.containers.say("exec", self.name, *words)

    def ask(self, url: str, body: Any = None) -> str:
        """What a server in the container answers, good or bad, as soon as it listens."""
        asked = self.execute("python", "-c", _ASK, url, "" if body is None else json.dumps(body))
        assert asked.code == 0, (asked.err, self.log())
        return asked.out.strip()

    def log(self) -> str:
        said = self.containers.say("logs", self.name)
        return said.out + said.err

    def stop(self, grace: int) -> int:
        """As a kubelet does: SIGTERM, and SIGKILL when the grace time is over. The exit code."""
        self.containers.say("stop", "--time", str(grace), self.name)
        return int(self.containers.say("inspect", "--format", "{{.State.ExitCode}}", self.name).out)


def built() -> Containers:
    """Both images, built anew; skips the tests where that is not asked for, or nothing can build them."""
    if not os.environ.get("LORA_TWIN_IMAGES"):
        pytest.skip("`make images` builds the images and runs them")
    program = next((each for each in ("docker", "podman") if shutil.which(each) and _works(each)), None)
    if program is None:
        pytest.skip("neither docker nor podman runs here")
    images = {name: f"{name}:tested" for name in DOCKERFILES}
    for name, file in DOCKERFILES.items():
        words = [program, "build", "--file", str(ROOT / file), "--tag", images[name], str(ROOT)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return Containers(program, images)


def _works(program: str) -> bool:
    """A client alone is often installed without an engine that it could speak to."""
    return subprocess.run([program, "info"], capture_output=True, timeout=60, check=False).returncode == 0
