"""Requests of the clients, and what they got from a real server, as JSON files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.conformance.clients.driver import Step
from tests.conformance.clients.proxy import Sent
from tests.conformance.recording import RecordingError

FOLDER = Path(__file__).parent
REQUESTS = FOLDER / "requests.json"


def path_of(version: str) -> Path:
    return FOLDER / f"outcomes/vllm-{version}.json"


def versions() -> list[str]:
    """Return the releases that have outcomes, oldest first."""
    names = [path.stem.removeprefix("vllm-") for path in path_of("0").parent.glob("vllm-*.json")]
    return sorted(names, key=lambda version: [int(part) for part in version.split(".")])


def write(version: str, steps: list[Step]) -> None:
    """Write the requests and the outcomes of a release, one step a line."""
    path = path_of(version)
    path.parent.mkdir(exist_ok=True)
    lines = [f"  {json.dumps(step.name)}: {json.dumps(step.outcome)}" for step in steps]
    path.write_text(f'{{"version": "{version}", "outcomes": {{\n' + ",\n".join(lines) + "\n}}\n", encoding="utf-8")
    lines = [f"  {json.dumps(step.name)}: {json.dumps(step.sent)}" for step in steps]
    REQUESTS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def read(version: str) -> Mapping[str, Any]:
    """Return the outcome of each step.

    Raises:
        RecordingError: if the file is missing, damaged, or of another version than its name says.
    """
    path = path_of(version)
    try:
        document = json.loads(path.read_bytes())
        outcomes: Mapping[str, Any] = dict(document["outcomes"])
    except FileNotFoundError as error:
        raise RecordingError(f"File not found: {path}; make it with `make record-clients VLLM={version}`") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RecordingError(f"{path} has no outcomes: {error}; make it again with `make record-clients`") from error
    if document.get("version") != version:
        raise RecordingError(f"{path} is of {document.get('version')}; name it {path_of(document['version']).name}")
    return outcomes


def requests() -> Mapping[str, list[Sent]]:
    """Return the requests of each step."""
    sent: Mapping[str, list[Sent]] = json.loads(REQUESTS.read_bytes())
    return sent
