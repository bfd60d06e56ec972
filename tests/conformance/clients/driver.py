"""Drives all clients against one server."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conformance.adapters.artifacts import make_all
from tests.conformance.clients.proxy import Proxy, Sent, recording
from tests.conformance.playing.masking import Masker
from tests.conformance.profiles import PROFILES
from tests.conformance.servers.engines import Engine, serving

CLIENTS = ("openai", "litellm", "langchain", "lm-eval")
PROFILE = "clients"
_FOLDER = Path(__file__).parent
_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "PYTHONWARNINGS": "ignore"}


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a client.

    Attributes:
        name: `client/step`.
        sent: the requests that it sent.
        outcome: what it got, masked.
    """

    name: str
    sent: list[Sent]
    outcome: Any


def drive(engine: Engine, python: Path) -> list[Step]:
    """Return what each client sent to the engine and got from it."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as name:
        folder = Path(name)
        loras = folder / "loras"
        make_all(loras)
        masker = Masker({str(loras): "<loras>", engine.model: "<model>", str(folder): "<folder>"})
        with serving(engine, PROFILES[PROFILE], folder / "server.log") as running, recording(running.url) as proxy:
            return [step for client in CLIENTS for step in _drive(client, python, proxy, str(loras), masker)]


def _drive(client: str, python: Path, proxy: Proxy, loras: str, masker: Masker) -> Iterator[Step]:
    """Yield the steps of one client, while its process waits before each."""
    command = [str(python), str(_FOLDER / "drive.py"), client, proxy.url, loras]
    environment = {**os.environ, **_ENVIRONMENT}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_FOLDER
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            if not line.startswith("{"):
                continue
            told = json.loads(line)
            if "begins" in told:
                proxy.sent.clear()
                process.stdin.write("\n")
                process.stdin.flush()
            else:
                sent = json.loads(json.dumps(proxy.sent).replace(loras, "<loras>"))
                yield Step(f"{client}/{told['name']}", sent, masked(told["outcome"], masker))
    if process.returncode:
        raise RuntimeError(f"{client} ended with exit code {process.returncode}")


def masked(outcome: Any, masker: Masker) -> Any:
    """Return an outcome without what differs by chance."""
    return masker.value(outcome, mask_usage=True)
